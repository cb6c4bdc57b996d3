"""What a plot over a swept key shows, in sentences made of its numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from icr.report.behind import minus
from icr.report.sweep.jobs import short
from icr.report.sweep.points import half_width

if TYPE_CHECKING:
    from icr.report.sweep.points import Point


def named(keys: Sequence[str], setting: Sequence[str]) -> str:
    """A setting in words: `"α = 0.5, K = 4"`."""
    return ", ".join(f"{short(key)} = {value}" for key, value in zip(keys, setting, strict=True)) or "all settings"


def plus_minus(value: float, half: float, digits: int = 1) -> str:
    """`63.2 ± 1.1`, or the value alone where there is no interval."""
    written = minus(f"{value:.{digits}f}")
    return f"{written} ± {half:.{digits}f}" if math.isfinite(half) else written


def highest(found: Sequence[Point], keys: Sequence[str]) -> str:
    """Where points of one model are highest, and by how much above the others: all of them, or the nearest and lowest.

    Differences are paired by seed where both settings have the same seeds, at least two.
    """
    ordered = sorted(found, key=lambda point: -point.mean)
    if not ordered:
        return ""
    top, *others = ordered
    text = f"Highest at {named(keys, top.setting)}: {plus_minus(top.mean, top.half)}"
    if len(others) > 3:
        others = [others[0], others[-1]]
    parts = [f"{named(keys, point.setting)} is {lower(top, point)}" for point in others]
    paired = " Differences are paired by seed." if any(_paired(top, point) for point in others) else ""
    return f"{'; '.join([text, *parts])}.{paired}"


def lower(top: Point, point: Point) -> str:
    """By how much a point is below another, with the interval of the paired difference where there is one."""
    if _paired(top, point):
        differences = [value - point.seeds[seed] for seed, value in top.seeds.items()]
        mean, half = float(np.mean(differences)), half_width(differences)
        return f"{plus_minus(mean, half)} lower{', which may be chance' if abs(mean) <= half else ''}"
    return f"{top.mean - point.mean:.1f} lower"


def _paired(one: Point, other: Point) -> bool:
    """Whether both have the same seeds, at least two."""
    return len(one.seeds) > 1 and one.seeds.keys() == other.seeds.keys()
