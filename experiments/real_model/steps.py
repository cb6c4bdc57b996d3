"""The steps, each a plain command of `icr`, in the order in which they need each other."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from experiments.real_model import balance
from experiments.real_model.data import CONTRASTS, MADE, Data
from experiments.real_model.size import Size
from icr.rundir import Layout

PAIRS = ("turbo_over_35", "mini_over_35", "balanced")
"""English preferences that a model is aligned with: the strongest against the weakest, neighbours, and pairs of both
whose chosen answer is the less likely one as often as the more likely one (`balance.py`)."""
BATCH = 16
"""English pairs a step."""
CONTROLS = {"nll_random": "nll", "random_labels": "random"}
"""Of the rounds, by their keys: what their models are called in names."""


class Arm(NamedTuple):
    """Rounds of another kind, of one seed and without controls.

    Attributes:
        pair: whose model they start from, and whose reward they use.
        words: settings of theirs.
    """

    pair: str
    words: Sequence[str] = ()


ARMS = {
    "": Arm(PAIRS[0]),
    "language": Arm(PAIRS[0], ["gate=language"]),
    "multilingual": Arm(PAIRS[0], ["reward_prompt=multilingual"]),
    "balanced": Arm(PAIRS[-1]),
}
"""By name; `""` is the main one, with all seeds and controls."""


class Trained(NamedTuple):
    """A model of the rounds, whose name is `s0_M1`, `s0_nll_M1` of a control, or `balanced_s0_M1` of another arm.

    Attributes:
        arm: one of `ARMS`.
        seed: of its rounds.
        control: `nll` or `random`; `""` of ICR itself.
        model: of which round, such as `M1`.
    """

    arm: str
    seed: int
    control: str
    model: str

    @classmethod
    def parse(cls, name: str) -> Trained | None:
        """From its name; None of a model that the rounds start from."""
        found = re.fullmatch(r"(?:([a-z]+)_)?s(\d+)_(?:([a-z]+)_)?(M\d+)", name)
        return cls(found[1] or "", int(found[2]), found[3] or "", found[4]) if found else None

    @property
    def start(self) -> str:
        """Name of the model that its rounds start from."""
        return started_from(self.arm)

    def compares_with(self, other: Trained) -> bool:
        """Whether the other is a control of its seed and round, or the main arm's model, and starts from the same."""
        same = (other.seed, other.model, other.start) == (self.seed, self.model, self.start)
        return same and not self.control and not other.arm and other != self

    def __str__(self) -> str:
        return "_".join(part for part in (self.arm, f"s{self.seed}", self.control, self.model) if part)


def started_from(arm: str) -> str:
    """Name of the model that an arm's rounds start from: `dpo_en`, or `dpo_` and what else it was aligned with."""
    pair = ARMS[arm].pair
    return "dpo_en" if pair == PAIRS[0] else f"dpo_{pair}"


@dataclass(frozen=True)
class Step:
    """A command.

    Attributes:
        name: in tables.
        words: of the command, without `icr`.
        done: a file that is there when it has been run whole.
        needs: files that other steps leave when they have been run whole.
        before: makes what it reads of what these have left.
    """

    name: str
    words: Sequence[str]
    done: Path
    needs: Sequence[Path] = ()
    before: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Plan:
    """All steps of one size.

    Attributes:
        home: folder of the runs.
        base: folder of the model as it was pretrained.
        data: what they read.
        size: how much of it.
    """

    home: Path
    base: Path
    data: Data
    size: Size

    def steps(self) -> Iterator[Step]:
        """Alignment in English, rounds, diagnoses, and what has changed."""
        for name in PAIRS:
            yield self._alignment(name)
        rounds = [self._rounds(seed) for seed in self.size.seeds]
        rounds += [self._rounds(self.size.seeds[0], arm) for arm in self.size.arms]
        yield from rounds
        for name in PAIRS:
            for contrast in (*CONTRASTS, *MADE):
                yield self._diagnosis(name, contrast)
        trained = [step.done for step in rounds]
        for contrast in CONTRASTS:
            yield self._preferences(contrast, trained)
        yield self._answers(trained)

    def aligned(self, name: str) -> Path:
        """Folder of the model that was aligned in English."""
        return Layout(self.home / "aligned" / name).round(0).model

    def diagnosis(self, name: str, contrast: str) -> Path:
        """What the doctor has found of an aligned model's reward on a contrast, as JSON."""
        return self.home / "diagnoses" / name / f"{contrast}.json"

    def rounds(self, seed: int, arm: str = "") -> Path:
        """Run directory of the rounds."""
        return self.home / "rounds" / "_".join(filter(None, (arm, f"seed_{seed}")))

    def preferences(self, contrast: str) -> Path:
        """Directory of what all models prefer on a contrast."""
        return self.home / "preferences" / contrast

    @property
    def answers(self) -> Path:
        """Directory of what all models answer."""
        return self.home / "answers"

    def models(self) -> dict[str, Path]:
        """Every model by its name: `base`, `dpo_en`, and of each seed `s0_nll_M0`, `s0_random_M0`, `s0_M0` and so on.

        Differences are of a later model from an earlier one.
        """
        arms = ["", *self.size.arms]
        found = {"base": self.base, **{started_from(arm): self.aligned(ARMS[arm].pair) for arm in arms}}
        for seed in self.size.seeds:
            layout = Layout(self.rounds(seed))
            for round in range(self.size.iterations):
                for key, name in CONTROLS.items():
                    found[str(Trained("", seed, name, f"M{round}"))] = layout.control(key).round(round).model
                found[str(Trained("", seed, "", f"M{round}"))] = layout.round(round).model
        for arm in self.size.arms:
            seed = self.size.seeds[0]
            for round in range(self.size.iterations):
                model = Layout(self.rounds(seed, arm)).round(round).model
                found[str(Trained(arm, seed, "", f"M{round}"))] = model
        return found

    def _model(self, path: Path) -> list[str]:
        threads = "null" if self.size.threads is None else self.size.threads
        return [
            "model=gemma3_270m",
            f"model.path={path}",
            f"model.loader.dtype={self.size.dtype}",
            f"trainer.threads={threads}",
        ]

    def _training(self, batch: int) -> list[str]:
        return [
            "adapter=lora",
            "optim.lr=2e-4",
            f"trainer.global_batch_size={batch}",
            "trainer.checkpoint_every=5",  # A step takes half a minute on one core.
            "trainer.progress_bar=false",
        ]

    def _alignment(self, name: str) -> Step:
        directory = self.home / "aligned" / name
        words = [
            "run",
            "stage=english_dpo",
            "data=preferences",
            f"data.file={self.data.english(name)}",
            "data.cut=true",
            *self._model(self.base),
            *self._training(BATCH),
            "loss.alpha=0.2",
            f"run.dir={directory}",
        ]
        step = Step(f"English alignment, {name}", words, Layout(directory).summary)
        if name != PAIRS[-1]:
            return step
        files = {self.data.english(other): self.home / "aligned" / other for other in PAIRS[:-1]}
        needs = [self._is_aligned(other) for other in PAIRS[:-1]]
        return replace(step, needs=needs, before=partial(balance.write, self.data.english(name), files))

    def _is_aligned(self, name: str) -> Path:
        return Layout(self.home / "aligned" / name).summary

    def _diagnosis(self, name: str, contrast: str) -> Step:
        to = self.diagnosis(name, contrast)
        words = [
            "doctor",
            "diagnose",
            f"doctor.labelled={self.data.labelled(contrast)}",
            "doctor.own_prompts=0",
            f"doctor.json={to}",
            f"doctor.page={to.with_suffix('.html')}",
            "+reward_prompt@diagnosis.reward_prompts.english=english",
            "data=parallel",
            f"data.dir={self.data.prompts}",
            *self._model(self.aligned(name)),
            f"reward_pair.reference={self.base}",
            f"langs=[{','.join(self._languages(contrast))}]",
        ]
        return Step(f"diagnosis, {name} on {contrast}", words, to, [self._is_aligned(name)])

    def _languages(self, contrast: str) -> list[str]:
        return self.size.references if contrast in MADE else self.size.languages

    def _rounds(self, seed: int, arm: str = "") -> Step:
        directory, (pair, own) = self.rounds(seed, arm), ARMS[arm]
        words = [
            "run",
            "data=parallel",
            f"data.dir={self.data.prompts}",
            f"langs=[{','.join(self.size.rounds)}]",
            *self._model(self.aligned(pair)),
            f"reward_pair.reference={self.base}",
            *self._training(self.size.batch),
            f"iterations={self.size.iterations}",
            f"sampling.n={self.size.responses}",
            f"sampling.max_new_tokens={self.size.max_new_tokens}",
            "reward.keep_truncated=true",
            f"controls={'none' if arm else 'standard'}",
            f"seed={seed}",
            *own,
            f"cache.dir={self.home / 'cache'}",  # Controls and other arms begin with the same answers.
            f"run.dir={directory}",
        ]
        name = f"rounds, {arm}, seed {seed}" if arm else f"rounds, seed {seed}"
        return Step(name, words, Layout(directory).summary, [self._is_aligned(pair)])

    def _preferences(self, contrast: str, trained: Sequence[Path]) -> Step:
        directory = self.preferences(contrast)
        words = [
            "evaluate",
            "benchmark=preferences",
            f"benchmark.labelled={self.data.labelled(contrast)}",
            f"benchmark.rows={self.size.preferences}",
            f"benchmark.base={self.base}",
            *self._measured(self.size.languages, directory),
        ]
        return Step(f"preferences on {contrast}", words, Layout(directory).measured, trained)

    def _answers(self, trained: Sequence[Path]) -> Step:
        words = [
            "evaluate",
            "benchmark=answers",
            "evaluation=x_alpacaeval",
            f"evaluation.prompts.dir={self.data.test_prompts}",
            "evaluation.prompts.full_set=null",
            f"evaluation.sampling.max_new_tokens={self.size.max_new_tokens}",
            *self._measured(self.size.rounds, self.answers),
        ]
        return Step("answers", words, Layout(self.answers).measured, trained)

    def _measured(self, languages: Sequence[str], directory: Path) -> list[str]:
        return [
            *self._model(self.base),
            *(f"evaluate.models.{name}={path}" for name, path in self.models().items()),
            f"langs=[{','.join(languages)}]",
            f"run.dir={directory}",
        ]
