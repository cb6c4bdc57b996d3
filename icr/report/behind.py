"""A plot of a page with the numbers behind it, and a sentence that says what they show."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

import pandas as pd
from markupsafe import Markup

if TYPE_CHECKING:
    from collections.abc import Mapping

DIGITS = "%.6g"  # of numbers in a page's CSV


@dataclass(frozen=True, slots=True)
class Plot:
    """What a page shows of a plot.

    Attributes:
        name: what no other plot of the page is called, and the name of its file of numbers, without the suffix.
        svg: an `<svg>` element; `""` where there is nothing to draw.
        data: the numbers behind it, in long form.
        says: what they show, in sentences made of them.
    """

    name: str
    svg: str
    data: pd.DataFrame = field(default_factory=pd.DataFrame)
    says: str = ""

    def __bool__(self) -> bool:
        return bool(self.svg)

    @property
    def markup(self) -> Markup:
        """The picture, for a template."""
        return Markup(self.svg)

    @property
    def csv(self) -> str:
        """The numbers as CSV."""
        return str(self.data.to_csv(index=False, float_format=DIGITS, lineterminator="\n"))

    @property
    def link(self) -> str:
        """Address that carries the CSV within itself: nothing is loaded for it."""
        return "data:text/csv;charset=utf-8," + quote(self.csv, safe=",:/ -_.").replace(" ", "%20")


def signed(value: float, digits: int = 1) -> str:
    """A difference with its sign: `+4.0`, `−1.2`."""
    return minus(f"{round(value, digits) + 0.0:+.{digits}f}") if round(value, digits) else f"{0:.{digits}f}"


def minus(text: str) -> str:
    """The text with a minus sign before numbers that are negative; hyphens in words stay."""
    return re.sub(r"(?<![\w)])-(?=\d)", "−", text)


def extremes(values: Mapping[str, float], write: str = "{:.1f}", at: str = "in") -> str:
    """`"most in bn (3.1), least in en (2.5)"`, or `"3.1 everywhere"`; `""` where fewer than two are known."""
    known = {name: value for name, value in values.items() if math.isfinite(value)}
    if len(known) < 2:
        return ""
    high, low = max(known, key=known.__getitem__), min(known, key=known.__getitem__)
    most, least = (minus(write.format(known[name])) for name in (high, low))
    if most == least:
        return f"{most} everywhere"
    return f"most {at} {high} ({most}), least {at} {low} ({least})"
