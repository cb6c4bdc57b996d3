"""Answers to MT-Bench's turns, at the temperature that each category wants."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from icr.data.context import within_context, without_turn_tokens
from icr.evaluation.benchmark import Bench, Subject
from icr.evaluation.mt_bench.files import MTQuestion
from icr.evaluation.stage import answered
from icr.models import LoadedModel
from icr.models.configuration import context_length
from icr.rundir.benchmarks import turn_stage
from icr.sampling import Sampler
from icr.sampling.decoding import OnBatch, Seed, with_settings
from icr.types import Prompt, PromptSet, Response


@dataclass
class ByTemperature:
    """Samples each prompt at its own temperature. An engine is started for one temperature after the other.

    Attributes:
        sampler: with all its other settings.
        temperatures: by id of the prompt.
    """

    sampler: Sampler
    temperatures: Mapping[str, float]
    _current: Sampler | None = field(default=None, init=False)

    @property
    def prompts_per_part(self) -> int:
        """Prompts sampled between two saves."""
        return self.sampler.prompts_per_part

    def ordered(self, prompts: Sequence[Prompt]) -> list[Prompt]:
        """The prompts by temperature, so that each engine is started once."""
        return sorted(prompts, key=lambda prompt: self.temperatures[prompt.id])

    def sample(self, policy: LoadedModel, prompts: Sequence[Prompt], seed: Seed, on_batch: OnBatch) -> list[Response]:
        """One response per prompt, in order."""
        found: list[Response] = []
        for temperature, group in groupby(prompts, key=lambda prompt: self.temperatures[prompt.id]):
            if self._current is None or self._current.temperature != temperature:
                self.release()
                self._current = with_settings(self.sampler, {"temperature": temperature})
            found += self._current.sample(policy, list(group), seed, on_batch)
        return found

    def release(self) -> None:
        """End what was started."""
        if self._current is not None:
            self._current.release()
        self._current = None


def answer_turn(
    bench: Bench,
    subject: Subject,
    questions: Sequence[MTQuestion],
    turns: Sequence[Sequence[Response]],
    sampler: ByTemperature,
) -> tuple[list[Response], Counter[str]]:
    """The stage of one turn: answers to what the user says next, part by part.

    Args:
        turns: answers to the turns before.

    Returns:
        The answers, and how many conversations cannot go on, by reason: the answers so far leave no room for another,
        or hold tokens of turns.
    """
    prompts, left_out = _prompts(bench, subject, questions, turns, sampler.sampler)
    number = len(turns) + 1
    answers = answered(
        bench.store,
        turn_stage(number, subject.name),
        bench.load(str(subject.path)),
        sampler.ordered(prompts),
        sampler=sampler,
        seed=(bench.seed, "mt_bench", number),
        what=f"{subject.name} · turn {number}",
    )
    return answers, left_out


def _prompts(
    bench: Bench,
    subject: Subject,
    questions: Sequence[MTQuestion],
    turns: Sequence[Sequence[Response]],
    sampler: Sampler,
) -> tuple[list[Prompt], Counter[str]]:
    said = [{(r.id, r.language): r.text for r in answers} for answers in turns]
    prompts = []
    for q in questions:
        if all((q.id, q.language) in answers for answers in said):
            earlier = [text for n, answers in enumerate(said) for text in (q.turns[n], answers[q.id, q.language])]
            prompts.append(Prompt(q.id, q.language, q.turns[len(turns)], q.turns[len(turns)], tuple(earlier)))
    if not turns:
        return prompts, Counter()  # These were looked at when the benchmark was opened.
    path = str(subject.path)
    renderer, context = bench.loader.renderer(path), context_length(path, bench.loader.trust_remote_code)
    plain = without_turn_tokens(PromptSet(prompts), renderer)
    given = within_context(plain, renderer, [lambda prompt: prompt.text], context, sampler.max_new_tokens)
    left_out = Counter[str]()
    for reasons in given.skipped.values():
        left_out.update(reasons)
    return given.prompts, left_out
