"""Win rates of a sweep over each of its keys: on average, and in small multiples by language."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from typing import TYPE_CHECKING

import pandas as pd

from icr.metrics import Figure
from icr.report.behind import Plot
from icr.report.svg import INK, MUTED, inline
from icr.report.sweep.jobs import short
from icr.report.sweep.points import intervals_note, last_name, of_last
from icr.report.sweep.sentences import highest, highest_at, named
from icr.report.sweep.series import Series, draw, tinted
from icr.report.tables import display_name

if TYPE_CHECKING:
    from icr.report.sweep.jobs import Jobs
    from icr.report.sweep.points import Point

PANELS = 9  # of further keys' values
UNIT = "win rate, %"


def over_key(jobs: Jobs, found: Sequence[Point], key: str, number: int) -> Plot:
    """Mean win rate over the values of a key.

    With one key a series is a model. With more, it is a value of the next key, of each setting's last model, and the
    values of further keys have panels of their own.

    Args:
        jobs: of the sweep.
        found: `points` of the win rate.
        key: one of the axes.
        number: of the plot, which makes its name.
    """
    means = [point for point in found if point.language == "mean"]
    last = of_last(jobs, means)
    others = [axis for axis in jobs.axes if axis != key]
    panels = _by_others(jobs, means, last, key, others) if others else {"": _by_model(jobs, means, key)}
    shown = dict(list(panels.items())[:PANELS])
    note = _left_out(panels)
    return _plot(jobs, f"over-{number}", shown, key, 3, means if not others else last, last, note)


def by_language(jobs: Jobs, found: Sequence[Point], key: str, number: int) -> Plot:
    """Win rate over the values of a key in each language, of one key or two: more have the table of all figures."""
    others = [axis for axis in jobs.axes if axis != key]
    last = [point for point in of_last(jobs, found) if point.language != "mean"]
    if not last or len(jobs.languages) < 2 or len(others) > 1:
        return Plot("", "")
    panels = {}
    for language in jobs.languages:
        own = [point for point in found if point.language == language]
        series = _by_next(jobs, of_last(jobs, own), key, others[0]) if others else _by_model(jobs, own, key)
        if series:
            panels[language] = series
    shown = last if others else [point for point in found if point.language != "mean"]
    return _plot(jobs, f"languages-{number}", panels, key, 4, shown, last, "")


def by_seed(jobs: Jobs, found: Sequence[Point]) -> Plot:
    """A row per model, where nothing but the seed is swept."""
    means = [point for point in found if point.language == "mean"]
    if not means:
        return Plot("", "")
    places = [(display_name(point.model), point) for point in means]
    names = [name for name, _ in places]
    figure, cut = draw({"": [Series("models", places, INK)]}, "model", names, False, 1, UNIT)
    says = f"{last_name(jobs)}: {highest(of_last(jobs, means), [])} {intervals_note(means)}{_cut(cut)}"
    svg = inline(figure, "seeds", "Mean win rate of each model, with its interval over seeds")
    return Plot("seeds", svg, numbers(jobs, means), says)


def _plot(
    jobs: Jobs,
    name: str,
    panels: dict[str, list[Series]],
    key: str,
    columns: int,
    shown: Sequence[Point],
    last: Sequence[Point],
    note: str,
) -> Plot:
    if not any(panels.values()):
        return Plot("", "")
    seen = {value for own in panels.values() for series in own for value, _ in series.places}
    values = [value for value in jobs.values(key) if value in seen]
    figure, cut = draw(panels, key, values, jobs.numeric(key), columns, UNIT)
    kind = "in each language" if name.startswith("languages") else "mean over the target languages"
    says = _says(jobs, last, kind, key) + note + f" {intervals_note(shown)}{_cut(cut)}"
    svg = inline(figure, name, f"Win rate over {short(key)}, {kind}, with 95 % intervals")
    return Plot(name, svg, numbers(jobs, shown), says.strip())


def _says(jobs: Jobs, last: Sequence[Point], kind: str, key: str) -> str:
    if not kind.startswith("in each"):
        return f"Win rate of {last_name(jobs)} in %, {kind}. {highest_at(last, jobs.axes, key)}"
    best: dict[str, list[str]] = {}
    for language in jobs.languages:
        if own := [point for point in last if point.language == language]:
            best.setdefault(named(jobs.axes, max(own, key=lambda p: p.mean).setting), []).append(language)
    where = "; ".join(f"at {setting} in {' '.join(codes)}" for setting, codes in best.items())
    return f"{last_name(jobs)[:1].upper()}{last_name(jobs)[1:]} is highest {where}."


def _cut(cut: bool) -> str:
    return " Bars that are longer than the panel are cut." if cut else ""


def _left_out(panels: dict[str, list[Series]]) -> str:
    return f" The first {PANELS} of {len(panels)} panels are shown." if len(panels) > PANELS else ""


def _by_model(jobs: Jobs, own: Sequence[Point], key: str) -> list[Series]:
    """What the trainings started from stands back, in grey."""
    kinds = {point.model: point.kind for point in own}
    starts = [model for model, kind in kinds.items() if kind == "start"]
    rounds = sorted(model for model, kind in kinds.items() if kind == "round")
    tints = tinted(rounds)
    marks = dict(zip(starts, "vsD^", strict=False))
    styles = {model: (MUTED, True, marks.get(model, "v")) for model in starts}
    styles |= {model: _style(tints[model]) for model in rounds}
    places = {model: _places(jobs, (p for p in own if p.model == model), key) for model in styles}
    return [Series(display_name(model), places[model], *style) for model, style in styles.items()]


def _style(style: tuple[str, str]) -> tuple[str, bool, str]:
    tint, mark = style
    return tint, False, mark


def _by_next(jobs: Jobs, own: Sequence[Point], key: str, other: str) -> list[Series]:
    """A series per value of another key."""
    place = jobs.axes.index(other)
    tints = tinted(jobs.values(other))
    found = []
    for value in jobs.values(other):
        mine = [point for point in own if point.setting[place] == value]
        if mine:
            found.append(Series(f"{short(other)} = {value}", _places(jobs, mine, key), *_style(tints[value])))
    return found


def _by_others(
    jobs: Jobs, means: Sequence[Point], last: Sequence[Point], key: str, others: Sequence[str]
) -> dict[str, list[Series]]:
    """Panels for the values of the keys after the next, or for the models of the rounds where there are none."""
    other, *further = others
    if not further:
        rounds = sorted({point.model for point in means if point.kind == "round"})
        return {m: _by_next(jobs, [p for p in means if p.model == m], key, other) for m in rounds}
    at = [jobs.axes.index(axis) for axis in further]
    panels = {}
    for values in product(*(jobs.values(axis) for axis in further)):
        own = [point for point in last if tuple(point.setting[i] for i in at) == values]
        if own:
            panels[named(further, values)] = _by_next(jobs, own, key, other)
    return panels


def _places(jobs: Jobs, own: Iterable[Point], key: str) -> list[tuple[str, Point]]:
    place, order = jobs.axes.index(key), jobs.values(key)
    return sorted(((point.setting[place], point) for point in own), key=lambda pair: order.index(pair[0]))


def numbers(jobs: Jobs, found: Sequence[Point]) -> pd.DataFrame:
    """The points as a table: setting, model, language, mean, half of the interval and what it is of."""
    return pd.DataFrame(
        [
            dict(zip(jobs.axes, point.setting, strict=True))
            | {"model": point.model, "language": point.language, Figure.WIN_RATE.value: point.mean}
            | {"half_interval": point.half, "interval_over": point.interval, "seeds": len(point.seeds)}
            for point in found
        ]
    )
