"""Rows of every kind, made by hand."""

from __future__ import annotations

from icr.types import PreferencePair, Prompt, Response, ScoredResponse


def prompt(id: str = "p", language: str = "sw", text: str = "Taja rangi.") -> Prompt:
    """A prompt with its English original."""
    return Prompt(id, language, text, "Name a colour.")


def response(id: str = "p", language: str = "sw", k: int = 0, ids: tuple[int, ...] = (5, 6, 2), **more) -> Response:
    """A response to it, which ended."""
    fields = {"text": f"jibu {ids}", "finish_reason": "stop"} | more
    return Response(id, language, k, [1, 3, 4], list(ids), **fields)


def scored(id: str = "p", language: str = "sw", k: int = 0, reward: float = 0.0, **more) -> ScoredResponse:
    """Its reward."""
    fields = {"policy_logp": -1.0, "reference_logp": -2.0, "tokens": 3, "characters": 4, "bytes": 5} | more
    return ScoredResponse(id, language, k, reward, **fields)


def pair(id: str = "p", language: str = "sw", chosen_k: int = 0, rejected_k: int = 1, **more) -> PreferencePair:
    """A pair of two of them."""
    fields = {
        "prompt": "Taja rangi.",
        "chosen": "nyekundu",
        "rejected": "ndiyo",
        "prompt_ids": [1, 3, 4],
        "chosen_ids": [5, 6, 2],
        "rejected_ids": [7, 2],
        "chosen_tokens": 3,
        "rejected_tokens": 2,
    } | more
    return PreferencePair(id, language, chosen_k=chosen_k, rejected_k=rejected_k, **fields)
