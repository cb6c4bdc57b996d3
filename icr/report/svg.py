"""From a matplotlib figure to SVG: deterministic, and inline in a page without disturbing it or its other figures."""

from __future__ import annotations

import html
import io
import re
import warnings
from typing import TYPE_CHECKING, Any

import matplotlib
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.typing import RcKeyType

INK, MUTED, RULE = "#1f2328", "#6e7781", "#d8dee4"  # replaced by the page's own colours when inline
CHOSEN, REJECTED, ENGLISH = "#0072b2", "#d55e00", "#0072b2"
# Okabe and Ito's colour-blind-safe palette, without black, blue (English) and its pale yellow.
PALETTE = ["#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6bb1", "#7a8b2a", "#b07d48"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X", "p"]
FONT: dict[RcKeyType, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "svg.hashsalt": "icr",
}


def colour(language: str, languages: list[str]) -> str:
    """English has its own colour, the others take the palette in order: a language looks alike in every figure."""
    others = [l for l in languages if l != "en"]
    return ENGLISH if language == "en" or language not in others else PALETTE[others.index(language) % len(PALETTE)]


def marker(language: str, languages: list[str]) -> str:
    """A marker beside the colour, so that neither a printer nor a ninth language leaves two lines alike."""
    index = languages.index(language)
    return MARKERS[(index + index // len(PALETTE)) % len(MARKERS)]


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches; no pyplot, so that nothing global is touched."""
    with matplotlib.rc_context(FONT):
        return Figure(figsize=(width, height), layout="constrained")


def clean(axes: Axes, title: str = "") -> Axes:
    """The house style: no box, faint horizontal rules, a title at the left."""
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(RULE)
    axes.tick_params(colors=MUTED, length=0, labelsize=9)
    axes.grid(axis="y", color=RULE, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.patch.set_alpha(0)
    if title:
        axes.set_title(title, loc="left", fontsize=10.5, color=INK, fontweight="bold")
    return axes


def label_ends(axes: Axes, x: float, ends: list[tuple[float, str, str]], gap: float = 0.055) -> None:
    """Writes (y, text, colour) labels right of `x`, pushed apart to `gap` of the axis so that none covers another."""
    low, high = axes.get_ylim()
    step = gap * (high - low)
    ends = sorted(ends)
    places = [y for y, _, _ in ends]
    for _ in range(200):
        for i in range(1, len(places)):
            if (overlap := step - (places[i] - places[i - 1])) > 1e-9:
                places[i - 1] -= overlap / 2
                places[i] += overlap / 2
    for place, (_, text, tint) in zip(places, ends, strict=True):
        axes.annotate(text, (x, place), xytext=(7, 0), textcoords="offset points", va="center", color=tint, fontsize=9)


def inline(figure: Figure, name: str, label: str) -> str:
    """The figure as an `<svg>` element for HTML: transparent, its ids prefixed with `name`, `label` read to the blind.

    Colours `INK`, `MUTED` and `RULE` become `currentColor` and the page's variables, so that it follows a dark page.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # The reader's browser has its own.
        text = _render(figure, fonttype="none", transparent=True)
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = (
        re.sub(r'\s(?:xmlns(?::\w+)?|version|width|height)="[^"]*"', "", text.split(">", 1)[0])
        + ">"
        + text.split(">", 1)[1]
    )
    text = re.sub(r'(?<= d)="[^"]*"', lambda path: re.sub(r"(\d\.\d\d)\d+", r"\1", path[0]), text)  # half the bytes
    text = text.replace("*{stroke-linejoin", ".plot svg *{stroke-linejoin")
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'href="#', f'href="#{name}-', text)
    text = text.replace("url(#", f"url(#{name}-")
    for fixed, own in ((INK, "currentColor"), (MUTED, "var(--muted)"), (RULE, "var(--rule)"), (CHOSEN, "var(--blue)")):
        text = text.replace(fixed, own)
    points = 72 * figure.get_figwidth()  # a figure of one panel must not be blown up to the width of the page
    size = f"max-width:{1.42 * points:.0f}px;min-width:{min(0.85 * points, 620):.0f}px"
    return text.replace("<svg", f'<svg role="img" aria-label="{html.escape(label)}" style="{size}"', 1)


def save(figure: Figure, path: Path) -> None:
    """Writes the figure on white, its text as outlines, in the format of the suffix (`.svg`, `.png`, `.pdf`)."""
    if path.suffix == ".svg":
        path.write_text(_render(figure, fonttype="path", transparent=False), encoding="utf-8")
    else:
        with matplotlib.rc_context(FONT):
            figure.savefig(path, dpi=200, facecolor="white")


def _render(figure: Figure, fonttype: str, transparent: bool) -> str:
    stream = io.StringIO()
    with matplotlib.rc_context({**FONT, "svg.fonttype": fonttype}):
        face = "none" if transparent else "white"
        figure.savefig(stream, format="svg", metadata={"Date": None}, facecolor=face, edgecolor="none")
    return stream.getvalue()
