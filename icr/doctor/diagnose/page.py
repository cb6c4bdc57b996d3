"""The diagnosis as a page that needs no network."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from icr.doctor.diagnose import plots, show
from icr.doctor.diagnose.result import Result
from icr.report import pages
from icr.rundir import atomic


def write_page(result: Result, path: Path) -> None:
    """Write the page to `path`, replacing an older one in one move."""
    text = render(result)
    atomic.replace(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def render(result: Result) -> str:
    """The page as text. All that comes out of data is escaped."""
    languages = result.languages
    equal = {code: found.equal for code, found in languages.items()}
    given = {code: found.given for code, found in languages.items()}
    judged = {code: found.judged for code, found in languages.items()}
    figures = {
        "equal": plots.accuracy(result, equal, "equal", "Accuracy by labels, at equal length"),
        "given": plots.accuracy(result, given, "given", "Accuracy by labels, as given"),
        "judged": plots.accuracy(result, judged, "judged", "Accuracy by the judge, on own samples"),
        "lengths": plots.lengths(result),
    }
    grids = show.grids(result)
    return pages.render(
        "diagnosis.html",
        result=result,
        headline=show.headline(result),
        figures={name: Markup(svg) for name, svg in figures.items()},
        labelled=[grid for grid in grids if "labels" in grid.title],
        judged=[grid for grid in grids if "judge" in grid.title],
        own=[grid for grid in grids if grid.title.startswith("Own")],
    )
