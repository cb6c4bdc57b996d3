"""The steps, each a plain command of `icr`, in the order in which they need each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from experiments.real_model import balance
from experiments.real_model.arms import ARMS, BALANCED, CONTROLS, DEMONSTRATED, PAIRS, Trained, aligned_on
from experiments.real_model.data import CONTRASTS, MADE, Data
from experiments.real_model.size import Size
from icr.rundir import Layout, open_run

BATCH = 16
"""English answers a step."""


@dataclass(frozen=True)
class Step:
    """A command.

    Attributes:
        name: in tables.
        words: of the command, without `icr`.
        done: a file that is there when it has been run whole.
        needs: files that other steps leave when they have been run whole.
        before: makes what it reads of what these have left.
        current: whether what is there is of all that is asked for by now.
    """

    name: str
    words: Sequence[str]
    done: Path
    needs: Sequence[Path] = ()
    before: Callable[[], None] = lambda: None
    current: Callable[[], bool] = lambda: True

    @property
    def due(self) -> bool:
        """Whether it is to be run."""
        return not (self.done.is_file() and self.current())


@dataclass(frozen=True)
class Plan:
    """All steps of one size.

    Attributes:
        home: folder of the runs.
        base: folder of the model as it was pretrained.
        data: what they read.
        size: how much of it.
        besides: other kinds of rounds than the main one, of `ARMS`.
    """

    home: Path
    base: Path
    data: Data
    size: Size
    besides: Sequence[str] = ()

    def steps(self) -> Iterator[Step]:
        """Alignment in English, rounds, diagnoses, and what has changed."""
        if DEMONSTRATED in self.pairs:
            yield self._tuning()
        for pair in self.pairs:
            yield self._alignment(pair)
        yield from (self._rounds(arm, seed) for arm in self.arms for seed in self.seeds(arm))
        for pair in self.pairs:
            for contrast in (*CONTRASTS, *(MADE if pair == PAIRS[0] else ())):
                yield self._diagnosis(pair, contrast)
        for origin in self.origins:
            for contrast in CONTRASTS:
                yield self._preferences(contrast, origin)
        yield self._answers()

    @property
    def arms(self) -> list[str]:
        """The kinds of rounds, the main one first."""
        return ["", *self.besides]

    @property
    def pairs(self) -> list[str]:
        """English preferences that a model is aligned with: the first two, and what the rounds need."""
        needed = {*PAIRS[:2], *(ARMS[arm].pair for arm in self.arms)}
        return [pair for pair in PAIRS if pair in needed]

    def seeds(self, arm: str) -> list[int]:
        """Of the rounds of an arm."""
        return self.size.seeds if ARMS[arm].whole else self.size.seeds[:1]

    @property
    def tuned(self) -> Path:
        """Folder of the model that has seen demonstrations."""
        return Layout(self.home / "demonstrated").round(0).model

    def origin(self, pair: str) -> Path:
        """Folder of the model that was aligned with a pair, as it was before: the reference of its reward."""
        return self.tuned if pair == DEMONSTRATED else self.base

    @property
    def origins(self) -> list[Path]:
        """Folders of the models that were aligned."""
        return list(dict.fromkeys(map(self.origin, self.pairs)))

    def aligned(self, pair: str) -> Path:
        """Folder of the model that was aligned in English."""
        return Layout(self.home / "aligned" / pair).round(0).model

    def diagnosis(self, pair: str, contrast: str) -> Path:
        """What the doctor has found of an aligned model's reward on a contrast, as JSON."""
        return self.home / "diagnoses" / pair / f"{contrast}.json"

    def rounds(self, arm: str, seed: int) -> Path:
        """Run directory of the rounds."""
        return self.home / "rounds" / "_".join(filter(None, (arm, f"seed_{seed}")))

    def preferences(self, contrast: str, origin: Path) -> Path:
        """Directory of what the models that come of one prefer on a contrast."""
        return self.home / "preferences" / (contrast if origin == self.base else f"{contrast}_demonstrated")

    @property
    def answers(self) -> Path:
        """Directory of what all models answer."""
        return self.home / "answers"

    def models(self, origin: Path) -> dict[str, Path]:
        """Every model that comes of one, by its name, and that one: `base`, `dpo_en`, `s0_nll_M0`, `s0_M0` and so on.

        Differences are of a later model from an earlier one.
        """
        found, own = {"base" if origin == self.base else "sft": origin}, self._arms_from(origin)
        found |= {aligned_on(ARMS[arm].pair): self.aligned(ARMS[arm].pair) for arm in own}
        for arm in own:
            for seed in self.seeds(arm):
                layout = Layout(self.rounds(arm, seed))
                for round in range(self.size.iterations):
                    for key, name in CONTROLS.items() if ARMS[arm].whole else ():
                        found[str(Trained(arm, seed, name, f"M{round}"))] = layout.control(key).round(round).model
                    found[str(Trained(arm, seed, "", f"M{round}"))] = layout.round(round).model
        return found

    def _arms_from(self, origin: Path) -> list[str]:
        return [arm for arm in self.arms if self.origin(ARMS[arm].pair) == origin]

    def _trained(self, origin: Path) -> list[Path]:
        """What says that the rounds that come of a model have been run."""
        arms = self._arms_from(origin)
        return [Layout(self.rounds(arm, seed)).summary for arm in arms for seed in self.seeds(arm)]

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

    def _tuning(self) -> Step:
        directory = self.home / "demonstrated"
        words = [
            "run",
            "stage=sft",
            "data=demonstrations",
            f"data.file={self.data.demonstrations}",
            "data.cut=true",
            *self._model(self.base),
            *self._training(BATCH),
            f"langs=[{','.join(self.size.languages)}]",
            f"run.dir={directory}",
        ]
        return Step("demonstrations", words, Layout(directory).summary)

    def _alignment(self, pair: str) -> Step:
        directory = self.home / "aligned" / pair
        file = self.data.english(PAIRS[0] if pair == DEMONSTRATED else pair)
        words = [
            "run",
            "stage=english_dpo",
            "data=preferences",
            f"data.file={file}",
            "data.cut=true",
            *self._model(self.origin(pair)),
            *self._training(BATCH),
            "loss.alpha=0.2",
            f"run.dir={directory}",
        ]
        step = Step(f"English alignment, {pair}", words, Layout(directory).summary)
        if pair == DEMONSTRATED:
            return replace(step, needs=[Layout(self.home / "demonstrated").summary])
        if pair == BALANCED:
            files = {self.data.english(other): self.home / "aligned" / other for other in PAIRS[:2]}
            needs = [self._is_aligned(other) for other in PAIRS[:2]]
            return replace(step, needs=needs, before=partial(balance.write, file, files))
        return step

    def _is_aligned(self, pair: str) -> Path:
        return Layout(self.home / "aligned" / pair).summary

    def _diagnosis(self, pair: str, contrast: str) -> Step:
        to = self.diagnosis(pair, contrast)
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
            *self._model(self.aligned(pair)),
            f"reward_pair.reference={self.origin(pair)}",
            f"langs=[{','.join(self._languages(contrast))}]",
        ]
        return Step(f"diagnosis, {pair} on {contrast}", words, to, [self._is_aligned(pair)])

    def _languages(self, contrast: str) -> list[str]:
        return self.size.references if contrast in MADE else self.size.languages

    def _rounds(self, arm: str, seed: int) -> Step:
        directory, (pair, own, whole) = self.rounds(arm, seed), ARMS[arm]
        words = [
            "run",
            "data=parallel",
            f"data.dir={self.data.prompts}",
            f"langs=[{','.join(self.size.rounds)}]",
            *self._model(self.aligned(pair)),
            f"reward_pair.reference={self.origin(pair)}",
            *self._training(self.size.batch),
            f"iterations={self.size.iterations}",
            f"sampling.n={self.size.responses}",
            f"sampling.max_new_tokens={self.size.max_new_tokens}",
            "reward.keep_truncated=true",
            f"controls={'standard' if whole else 'none'}",
            f"seed={seed}",
            *own,
            f"cache.dir={self.home / 'cache'}",  # Controls and other arms begin with the same answers.
            f"run.dir={directory}",
        ]
        name = f"rounds, {arm}, seed {seed}" if arm else f"rounds, seed {seed}"
        return Step(name, words, Layout(directory).summary, [self._is_aligned(pair)])

    def _preferences(self, contrast: str, origin: Path) -> Step:
        directory = self.preferences(contrast, origin)
        words = [
            "benchmark=preferences",
            f"benchmark.labelled={self.data.labelled(contrast)}",
            f"benchmark.rows={self.size.preferences}",
            f"benchmark.base={origin}",
            f"langs=[{','.join(self.size.languages)}]",
        ]
        step = self._measured(f"preferences on {directory.name}", words, self.models(origin), directory)
        return replace(step, needs=self._trained(origin))

    def _answers(self) -> Step:
        words = [
            "benchmark=answers",
            "evaluation=x_alpacaeval",
            f"evaluation.prompts.dir={self.data.test_prompts}",
            "evaluation.prompts.full_set=null",
            f"evaluation.sampling.max_new_tokens={self.size.max_new_tokens}",
            f"langs=[{','.join(dict.fromkeys([*self.size.rounds, *self.size.references]))}]",
        ]
        models = {name: path for origin in self.origins for name, path in self.models(origin).items()}
        step = self._measured("answers", words, models, self.answers)
        return replace(step, needs=[path for origin in self.origins for path in self._trained(origin)])

    def _measured(self, name: str, words: Sequence[str], models: Mapping[str, Path], directory: Path) -> Step:
        words = ["evaluate", *words, *self._model(self.base), f"run.dir={directory}"]
        words += [f"evaluate.models.{model}={path}" for model, path in models.items()]
        return Step(name, words, Layout(directory).measured, current=partial(_has_measured, directory, list(models)))


def _has_measured(directory: Path, models: Sequence[str]) -> bool:
    """Whether what there is is of all these models."""
    measured = open_run(directory).measured
    return measured is not None and set(models) <= set(measured.models)
