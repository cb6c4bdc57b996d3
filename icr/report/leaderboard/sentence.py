"""What was found, in a sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from icr.report.leaderboard.grids import WIN_RATE, interval, main_figures, models_of, spread, value
from icr.report.leaderboard.names import named
from icr.report.tables import display_name, number

if TYPE_CHECKING:
    from icr.rundir.measured import Measured, Result


def headline(measured: Measured) -> str:
    """What was found in a sentence, such as `"M1 has the highest win rate: 60.0 ±1.5 %, mean over 7 target languages"`.

    It is of the win rate, or else of the first benchmark whose first figure says which model is the best. The
    difference to the baseline follows, where there is one: `"; +28.1 [+25.0, +31.2] points against SFT"`.
    """
    order = [name for name in (WIN_RATE, *measured.results) if name in measured.results]
    for benchmark in order:
        result = measured.results[benchmark]
        figure = next(iter(main_figures(benchmark, result)), "")
        if named(figure).best and (sentence := _best(result, figure)):
            return sentence
    count = len(models_of(measured))
    names = ", ".join(measured.results) or "nothing yet"
    return f"{count} model{'s' if count != 1 else ''} measured by {names}"


def _best(result: Result, figure: str) -> str:
    """Which model has the highest figure; `""` where none has one."""
    found = {model: value(own, figure) for model, own in result.figures.items()}
    known = {model: one for model, one in found.items() if math.isfinite(one)}
    if not known:
        return ""
    best = max(known, key=lambda model: known[model])
    title, _, unit = named(figure).title.partition(", ")
    what = title[0].lower() + title[1:]
    digits = named(figure).decimals(known.values())
    amount = f"{number(known[best], digits)}{spread(result.figures[best], figure, 'mean', digits)} {unit}".rstrip()
    languages = [key for key in result.figures[best][figure] if key != "mean"]
    claim = f"has the highest {what}:" if len(known) > 1 else f"has a {what} of"
    sentence = f"{display_name(best)} {claim} {amount}{_over(languages)}"
    gains = [d for d in result.differences if (d.figure, d.model, d.language) == (figure, best, "mean")]
    against = f"{interval(gains[0], digits)} points against {display_name(gains[0].baseline)}" if gains else ""
    return f"{sentence}; {against}" if against else sentence


def _over(languages: Sequence[str]) -> str:
    targets = [language for language in languages if language != "en"]
    if len(targets) < 2:
        return f" in {(targets or ['en'])[0]}"
    return f", mean over {len(targets)} target languages"
