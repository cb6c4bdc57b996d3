"""What a plot over a swept key shows, in sentences made of its numbers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from icr.report.behind import minus
from icr.report.sweep.jobs import short
from icr.report.sweep.points import half_width

if TYPE_CHECKING:
    from icr.report.sweep.points import Point


GROUPS = 4  # values of other keys that are told one by one


def named(keys: Sequence[str], setting: Sequence[str]) -> str:
    """A setting in words: `"α = 0.5, K = 4"`."""
    return ", ".join(f"{short(key)} = {value}" for key, value in zip(keys, setting, strict=True)) or "all settings"


def plus_minus(value: float, half: float, digits: int = 1) -> str:
    """`63.2 ± 1.1`, or the value alone where there is no interval."""
    written = minus(f"{value:.{digits}f}")
    return f"{written} ± {half:.{digits}f}" if math.isfinite(half) else written


def highest(found: Sequence[Point], keys: Sequence[str]) -> str:
    """`_highest` with a note on its differences, where they are paired by seed."""
    return _highest(found, keys) + _note(found) if found else ""


def highest_at(found: Sequence[Point], keys: Sequence[str], key: str) -> str:
    """Where points of one model are highest over one key, at each value of the others; where these are many, how
    often each value is the highest.
    """
    place, others = keys.index(key), [other for other in keys if other != key]
    groups: dict[tuple[str, ...], list[Point]] = {}
    for point in found:
        groups.setdefault((*point.setting[:place], *point.setting[place + 1 :]), []).append(point)
    if not others:
        return highest(found, keys)
    if len(groups) > GROUPS:
        return f"{_winners(groups.values(), place, key)} {highest(found, keys)}"
    parts = []
    for setting, own in groups.items():
        alone = [replace(point, setting=(point.setting[place],)) for point in own]
        parts.append(f"At {named(others, setting)}: {lower_first(_highest(alone, [key]))}")
    return " ".join(parts) + _note(found)


def _winners(groups: Iterable[Sequence[Point]], place: int, key: str) -> str:
    """In how many settings of the other keys each value of this one is the highest."""
    tops = Counter(max(own, key=lambda point: point.mean).setting[place] for own in groups if len(own) > 1)
    counts = ", ".join(f"{value} in {count}" for value, count in tops.most_common(GROUPS))
    return f"Over {tops.total()} settings of the other keys, it is highest at {short(key)} = {counts}." if tops else ""


def lower_first(text: str) -> str:
    """The text with a small letter at its beginning."""
    return text[:1].lower() + text[1:]


def _note(found: Sequence[Point]) -> str:
    paired = any(_paired(one, other) for one, other in pairwise(found))
    return " Differences are paired by seed." if paired else ""


def _highest(found: Sequence[Point], keys: Sequence[str]) -> str:
    """Where points of one model are highest, and by how much above the others: all of them, or the nearest and lowest.

    Differences are paired by seed where both settings have the same seeds, at least two.
    """
    top, *others = sorted(found, key=lambda point: -point.mean)
    text = f"Highest at {named(keys, top.setting)}: {plus_minus(top.mean, top.half)}"
    if len(others) > 3:
        others = [others[0], others[-1]]
    parts = [f"{named(keys, point.setting)} is {lower(top, point)}" for point in others]
    return f"{'; '.join([text, *parts])}."


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
