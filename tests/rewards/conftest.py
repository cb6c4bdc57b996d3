"""Scored responses from a few numbers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from icr.types import ScoredResponse


@pytest.fixture
def scored() -> Callable[..., list[ScoredResponse]]:
    """`scored([(reward, tokens), …])`: one prompt's responses; `None` in place of a reward marks one as unusable."""

    def make(candidates, id: str = "p", language: str = "sw") -> list[ScoredResponse]:
        return [
            ScoredResponse(
                id=id,
                language=language,
                k=k,
                reward=99.0 if reward is None else reward,
                policy_logp=0.0,
                reference_logp=0.0,
                tokens=tokens,
                characters=4 * tokens,
                bytes=5 * tokens,
                usable=reward is not None,
                reason="" if reward is not None else "cut",
            )
            for k, (reward, tokens) in enumerate(candidates)
        ]

    return make
