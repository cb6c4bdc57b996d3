"""The benchmark `preferences`: how often a model's own log-ratio to its base orders labelled answers rightly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import ClassVar

from icr.checks import require_counts
from icr.data import MultilingualPrompt, RewardPrompt, TranslatePrompt, labelled
from icr.data.labelled import Labelled, LabelledSet
from icr.errors import ConfigError, DataError
from icr.evaluation.benchmark import Bench, Setting, StageParts, Subject
from icr.evaluation.preferences.figures import AGAINST_BASE, Columns, columns, differences, figures
from icr.evaluation.preferences.logps import PairLogps, Scoring
from icr.evaluation.row_means import RowMeans
from icr.models import Renderer
from icr.models.configuration import context_length
from icr.models.folder import base_of, check_exists
from icr.models.whole import check_files
from icr.rundir import Table, fingerprint
from icr.rundir.benchmarks import PREFERENCES_BASE, preferences_stage
from icr.rundir.measured import Result


@dataclass(frozen=True)
class Preferences:
    """Preference accuracy of models on labelled pairs of answers, by `log π(y|x)/π_base(y|x)`; no judge is asked.

    Raises:
        ValueError: a number is no count, or the prompt translates answers.
    """

    labelled: str = field(compare=False)
    """Folder of `<lang>.jsonl` with `prompt`, `chosen`, `rejected`. Keys of stages hold the rows themselves."""
    base: str | None = field(compare=False)
    """Path of the model that log-ratios are against, `π_base`. Keys of stages hold the model itself."""
    prompt: RewardPrompt
    """Under which text answers are scored."""
    tokens_per_batch: int = field(compare=False)
    """Padded tokens of one scoring pass."""
    rows: int | None = field(default=None, compare=False)
    """The first so many of each file; None takes all."""

    name: ClassVar[str] = "preferences"

    def __post_init__(self) -> None:
        require_counts(self, "tokens_per_batch")
        if self.rows is not None:
            require_counts(self, "rows", otherwise="or null")
        if isinstance(self.prompt, TranslatePrompt):
            raise ValueError(
                "prompt must leave answers as they are, and reward_prompt=translate translates them: give another one"
            )

    def require(self) -> None:
        """See that the base is there.

        Raises:
            ConfigError: there is none.
            ModelError: it is no model.
        """
        check_exists(self._base)
        check_files(base_of(self._base) or self._base)

    def open(self, setting: Setting) -> OpenPreferences:
        """Read the labelled rows, and see that all models make the same tokens of them.

        Raises:
            ConfigError: the base is missing, or a model has another tokenizer or chat template.
            DataError: a file is not as it should be, or no row can be used.
        """
        loader, renderer = setting.loader, setting.loader.renderer(self._base)
        needs_english = not isinstance(self.prompt, MultilingualPrompt)
        folder = Path(self.labelled)
        given = labelled.read(
            folder, setting.languages, self.rows, key="benchmark.labelled", needs_english=needs_english
        )
        contexts = [context_length(path, loader.trust_remote_code) for path in (self._base, *setting.models)]
        shortest = min((context for context in contexts if context is not None), default=None)
        usable = labelled.usable(given, renderer, [lambda p: p.text, self.prompt.text], shortest)
        kept = [row for of_language in usable.rows.values() for row in of_language]
        if not kept:
            raise DataError(f"benchmark.labelled: no row in {folder} can be used: {_reasons(usable)}.")
        for path in setting.models:
            self._check_tokens(kept, renderer, loader.renderer(path), path)
        without = [code for code in setting.languages if not usable.rows.get(code)]
        return OpenPreferences(self, self._base, kept, usable.skipped, without)

    @property
    def _base(self) -> str:
        if not self.base:
            raise ConfigError(
                "benchmark.base is missing: the log-ratio of a model is against another one. Give its folder or hub "
                "name, such as the model that yours was aligned from."
            )
        return self.base

    def _check_tokens(self, rows: Sequence[Labelled], base: Renderer, own: Renderer, path: str) -> None:
        for row in rows:
            text = self.prompt.text(row.prompt)
            if base.prompt_ids(text) != own.prompt_ids(text) or any(
                base.response_ids(answer) != own.response_ids(answer) for answer in (row.chosen, row.rejected)
            ):
                raise ConfigError(
                    f"benchmark.base: {self._base} and {path} make other tokens of prompt {row.prompt.id!r} in "
                    f"{row.prompt.language!r} or of its answers (another tokenizer, chat template or end of turn), and "
                    f"a log-ratio is of the same tokens. Measure {path} against a base of its own, in a run.dir of its "
                    f"own: evaluate.only and evaluate.models choose models."
                )


def _reasons(given: LabelledSet) -> str:
    return "; ".join(
        f"{code}: " + ", ".join(f"{count} {reason}" for reason, count in reasons.items())
        for code, reasons in given.skipped.items()
        if reasons
    )


@dataclass(frozen=True)
class OpenPreferences:
    """`Preferences` with its rows read.

    Attributes:
        settings: of the benchmark.
        base: path of the model that log-ratios are against.
        rows: that every model takes, of all languages.
        skipped: the others.
        without: languages without rows.
        logps: of each model that has been measured.
    """

    settings: Preferences
    base: str
    rows: Sequence[Labelled]
    skipped: Mapping[str, Mapping[str, int]]
    without: Sequence[str]
    logps: dict[str, list[PairLogps]] = field(default_factory=dict)
    _base_logps: list[PairLogps] = field(default_factory=list)

    def stages(self, subject: Subject) -> list[StageParts]:
        """Log-probs under the base, which are the same stage for all models, and under the model itself.

        Where the model is the base, its log-probs are those of the base. None where there is no model.
        """
        if subject.path is None:
            return []
        prompt = self.settings.prompt
        content = {
            "rows": fingerprint.of_value(
                [(r.prompt.id, r.prompt.language, prompt.text(r.prompt), r.chosen, r.rejected) for r in self.rows]
            )
        }
        scored = partial(StageParts, settings={"benchmark": {"prompt": prompt}}, content=content, loads=True)
        base, own = scored(PREFERENCES_BASE, seeded=False, path=self.base), preferences_stage(subject.name)
        if self._is_base(subject.path):
            return [base, StageParts(own, after={"base": PREFERENCES_BASE})]
        return [base, scored(own, seeded=False)]

    def measure(self, subject: Subject, bench: Bench) -> None:
        """Score all rows under the base, unless that is done, and under the model."""
        if subject.path is None:
            return
        if not self._base_logps:
            self._base_logps.extend(
                self._scoring.stage(bench.store, PREFERENCES_BASE, bench.load(self.base), "base · labelled answers")
            )
        stage = preferences_stage(subject.name)
        if self._is_base(subject.path):
            self.logps[subject.name] = bench.store.rows(stage, Table(PairLogps), lambda: self._base_logps)
            return
        what = f"{subject.name} · labelled answers"
        self.logps[subject.name] = self._scoring.stage(bench.store, stage, bench.load(subject.path), what)

    def result(self, baseline: str | None = None) -> Result:
        """Figures of every model, and how they differ."""
        found = {name: columns(own, self._base_logps) for name, own in self.logps.items()}
        rows = self.rows
        means = RowMeans([r.prompt.language for r in rows], [r.cluster for r in rows], [r.category for r in rows])
        return Result(
            {name: figures(own, means) for name, own in found.items()},
            differences(found, means, baseline),
            self._notes(found),
        )

    @cached_property
    def _scoring(self) -> Scoring:
        return Scoring(self.rows, self.settings.prompt, self.settings.tokens_per_batch)

    def _is_base(self, path: str) -> bool:
        return path == self.base or fingerprint.of_model(path) == fingerprint.of_model(self.base)

    def _notes(self, found: Mapping[str, Columns]) -> list[str]:
        notes = [
            f"Log-ratios are against {self.base}, under the {self.settings.prompt.name} prompt. At equal length both "
            f"answers are cut to the length of the shorter one, without an end of turn; equal log-ratios are wrong."
        ]
        if same := [name for name, own in found.items() if not own.keys() & {*AGAINST_BASE}]:
            notes.append(f"{', '.join(same)}: the base itself, which has no log-ratio to itself.")
        if self.without:
            notes.append(f"No labelled preferences in {', '.join(self.without)}.")
        for code, reasons in self.skipped.items():
            if reasons:
                listed = ", ".join(f"{reason}: {count}" for reason, count in reasons.items())
                notes.append(f"Labelled preferences left out in {code}: {listed}.")
        return notes
