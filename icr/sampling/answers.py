"""Requests to an engine, and what its answers are held to before anything of them is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict, TypeGuard

from icr.errors import RunError
from icr.sampling.printable import printable

Answer = list[tuple[list[int], str]]
"""Token ids and finish reason of each response to a request."""


class Params(TypedDict):
    """Sampling parameters, by the names that vLLM has for them."""

    n: int
    seed: int
    temperature: float
    top_p: float
    top_k: int
    min_p: float
    repetition_penalty: float
    presence_penalty: float
    frequency_penalty: float
    max_tokens: int
    stop_token_ids: list[int]
    ignore_eos: bool


@dataclass(frozen=True)
class Request:
    """One prompt to an engine.

    Attributes:
        prompt_ids: token ids.
        params: how responses to it are sampled.
        vocabulary: number of tokens that the policy has; ids are below it.
        prompt: what messages call the prompt: its id and language.
    """

    prompt_ids: list[int]
    params: Params
    vocabulary: int
    prompt: str

    def answer(self, responses: Sequence[object], where: str) -> Answer:
        """An engine's responses, seen to be such as the policy could have given.

        Args:
            responses: a pair of token ids and finish reason for each, as JSON gave them.
            where: names the engine in messages.

        Raises:
            RunError: there are more or fewer than were asked for, or one is none: its ids are no tokens of the policy,
                it goes on after a stop id or beyond the limit, or it was ended for another reason.
        """
        if len(responses) != self.params["n"]:
            raise self._wrong(where, f"{len(responses)} responses, where {self.params['n']} were asked for")
        return [self._response(response, where) for response in responses]

    def _response(self, response: object, where: str) -> tuple[list[int], str]:
        match response:
            case [[*ids], str(reason)] if are_ids(ids):
                self._check(ids, reason, where)
                return ids, reason
        shown = printable(response, limit=120)
        raise self._wrong(where, f"a response that is not token ids with a finish reason: {shown}")

    def _check(self, ids: list[int], reason: str, where: str) -> None:
        limit, stops = self.params["max_tokens"], self.params["stop_token_ids"]
        if not ids:
            raise self._wrong(where, "an empty response")
        if len(ids) > limit:
            raise self._wrong(where, f"{len(ids)} tokens, where at most sampling.max_new_tokens={limit} were asked for")
        if not 0 <= min(ids) <= max(ids) < self.vocabulary:
            beyond = printable(next(id for id in ids if not 0 <= id < self.vocabulary), limit=24)
            raise self._wrong(where, f"the token id {beyond}, where the policy has {self.vocabulary} tokens")
        if inside := [id for id in ids[:-1] if id in stops]:
            raise self._wrong(where, f"a response that goes on after the stop id {inside[0]}")
        ended = ids[-1] in stops
        if (ended and reason != "stop") or (not ended and (reason != "length" or len(ids) != limit)):
            raise RunError(
                f"{where} ended a response to prompt {self.prompt} after {len(ids)} tokens with {ids[-1:]} for the "
                f"reason {printable(reason, limit=40)!r}, which is neither one of the stop ids {stops} nor the limit "
                f"sampling.max_new_tokens={limit}. Its context (max_model_len) is too short, or its generation config "
                f"adds stop ids: start servers with --generation-config vllm."
            )

    def _wrong(self, where: str, what: str) -> RunError:
        return RunError(
            f"{where} answers prompt {self.prompt} with {what}. Nothing of it is kept: see that it is vLLM 0.11 or "
            f"newer and serves the policy's own vocabulary. The same command goes on from the last finished part."
        )


def are_ids(values: Sequence[object]) -> TypeGuard[list[int]]:
    """Whether all are whole numbers, and no truth values."""
    return all(type(value) is int for value in values)
