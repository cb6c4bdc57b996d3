"""Writes the part of `docs/dashboards.md` that tells what each panel plots: `python -m tests.dashboard.page`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from icr import metrics
from icr.dashboard import Subject, sections
from icr.dashboard.panels import (
    Bars,
    Coordinates,
    Differences,
    Importance,
    Lines,
    LoggedTable,
    Panel,
    Scatter,
    logged_keys,
)
from icr.dashboard.panels import setting_keys as settings_of

PAGE = Path(__file__).parents[2] / "docs" / "dashboards.md"
AXES = {metrics.ROUND, metrics.GLOBAL_STEP, metrics.MODEL}
LANGUAGE, PROMPT, KEY = "<lang>", "<reward prompt>", "<key>"

MARK = "<!-- Written by `python -m tests.dashboard.page` from here on; a test compares. -->\n\n"


def shown() -> str:
    """What the page says of the panels, after the mark."""
    subject = Subject([LANGUAGE], [PROMPT], swept=[KEY])
    lines = [line for part in sections(subject) for line in _section(part.name, part.about, part.panels)]
    return "\n".join(lines)


def _section(name: str, about: str, panels: Iterable[Panel]) -> list[str]:
    rows = [f"| {panel.title.replace('<', '&lt;')} | {_kind(panel)} | {_keys(panel)} |" for panel in panels]
    return [f"### {name}", "", about, "", "| panel | kind | of |", "|---|---|---|", *rows, ""]


def _keys(panel: Panel) -> str:
    names = [key for key in logged_keys(panel) if key not in AXES]
    if isinstance(panel, Differences):
        return "all settings and last values in which runs differ"
    return " ".join(f"`{name}`" for name in [*names, *settings_of(panel)])


def _kind(panel: Panel) -> str:
    match panel:
        case Lines():
            return f"lines over `{panel.axis}`"
        case Scatter():
            return "a point per run"
        case Bars():
            return "bars: mean and standard error" if panel.setting else "a bar per run"
        case Coordinates():
            return "parallel coordinates"
        case Importance():
            return "importance of settings"
        case LoggedTable():
            return "a table a run"
        case Differences():
            return "a table"


if __name__ == "__main__":
    written = PAGE.read_text("utf-8").partition(MARK)[0]
    PAGE.write_text(written + MARK + shown(), encoding="utf-8")
