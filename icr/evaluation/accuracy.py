"""Reward accuracy: does the reward order responses as the judge does?"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from icr.judges import TIE

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from numpy.typing import ArrayLike


def reward_accuracy(rewards: ArrayLike, judge_scores: ArrayLike, groups: Sequence[Hashable]) -> float:
    """Share of pairs that the reward orders like the judge: 0.5 is chance, 1 is perfect.

    All pairs of responses of one prompt whose judge scores differ (by more than `TIE`) count alike; two equal rewards
    count a half. Prompts with many unequal responses therefore weigh more than others.

    Args:
        rewards: `r(x, y)`. Shape `[N]`.
        judge_scores: quality of the same responses. Shape `[N]`.
        groups: what the responses of one prompt share, such as `(id, language)`. Length `N`.

    Returns:
        A share in [0, 1]; NaN where no two responses of a prompt have different judge scores.

    Raises:
        ValueError: lengths differ, or a number is not finite.
    """
    reward, score = np.asarray(rewards, dtype=np.float64), np.asarray(judge_scores, dtype=np.float64)
    if reward.ndim != 1 or reward.shape != score.shape or len(groups) != reward.size:
        raise ValueError(f"need vectors of one length, got {reward.shape}, {score.shape} and {len(groups)} groups")
    if not (np.isfinite(reward).all() and np.isfinite(score).all()):
        raise ValueError("a reward or a judge score is not finite")
    rows: dict[Hashable, list[int]] = {}
    for row, group in enumerate(groups):
        rows.setdefault(group, []).append(row)
    agreed, counted = 0.0, 0
    for members in rows.values():
        first, second = np.triu_indices(len(members), k=1)
        by_judge = score[members][first] - score[members][second]
        by_reward = reward[members][first] - reward[members][second]
        decided = np.abs(by_judge) > TIE
        agreed += float(np.sum((1 + np.sign(by_judge * decided) * np.sign(by_reward))[decided]) / 2)
        counted += int(decided.sum())
    return agreed / counted if counted else math.nan
