"""Answers to MT-Bench's turns, at the temperature that each category wants."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass, replace
from functools import cache
from itertools import groupby

from icr import distributed
from icr.data.context import within_context, without_turn_tokens
from icr.errors import ConfigError
from icr.evaluation.benchmark import Bench, Subject
from icr.evaluation.mt_bench.files import MTQuestion
from icr.models import LoadedModel
from icr.models.configuration import context_length
from icr.progress import progress
from icr.rundir import ResponseTable
from icr.rundir.layout import turn_stage
from icr.sampling import Sampler
from icr.sampling.decoding import OnBatch, Seed
from icr.types import Prompt, PromptSet, Response


def with_settings(sampler: Sampler, settings: Mapping[str, object]) -> Sampler:
    """A sampler that decodes otherwise.

    Raises:
        ConfigError: it is no dataclass.
    """
    if not is_dataclass(sampler) or isinstance(sampler, type):
        raise ConfigError(f"sampling: {type(sampler).__name__} must be a dataclass, so that MT-Bench can set n.")
    return replace(sampler, **settings)


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

    def ordered(self, prompts: Sequence[Prompt]) -> list[Prompt]:
        """The prompts by temperature, so that each engine is started once."""
        return sorted(prompts, key=lambda prompt: self.temperatures[prompt.id])

    def sample(self, model: LoadedModel, prompts: Sequence[Prompt], seed: Seed, update: OnBatch) -> list[Response]:
        """One response per prompt, in order."""
        found: list[Response] = []
        for temperature, group in groupby(prompts, key=lambda prompt: self.temperatures[prompt.id]):
            if self._current is None or self._current.temperature != temperature:
                self.release()
                self._current = with_settings(self.sampler, {"temperature": temperature})
            found += self._current.sample(model, list(group), seed, update)
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
    ordered = sampler.ordered(prompts)
    stage = turn_stage(len(turns) + 1, subject.name)
    table = ResponseTable(Response, {(prompt.id, prompt.language): prompt for prompt in prompts})
    load = cache(bench.load(str(subject.path)))
    seed = (bench.seed, "mt_bench", len(turns) + 1)
    with progress(len(prompts), f"{subject.name} · turn {len(turns) + 1}") as update:

        def make(part: Sequence[Prompt]) -> list[Response]:
            return distributed.gather_to_rank0(sampler.sample(load(), distributed.shard(part), seed, update))

        try:
            at_a_time = sampler.sampler.prompts_per_part * distributed.size()
            return bench.store.rows_by_prompt(stage, table, ordered, at_a_time, make), left_out
        finally:
            sampler.release()


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
