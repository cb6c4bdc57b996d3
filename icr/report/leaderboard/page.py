"""`leaderboard.html`: one page that needs no network and trusts no model's text; and the files beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from icr.errors import RunError
from icr.report import pages
from icr.report.leaderboard import answers, grids, plots
from icr.report.leaderboard.alpaca import write_alpaca_eval
from icr.report.leaderboard.names import named
from icr.report.leaderboard.sentence import headline
from icr.report.page import CONFIG_LIMIT
from icr.report.tables import Grid, display_name
from icr.rundir import atomic
from icr.rundir.reader import open_run

if TYPE_CHECKING:
    from icr.rundir.measured import Measured, Result
    from icr.rundir.reader import Run


def write_leaderboard(directory: Path) -> Path:
    """Reads what `icr evaluate` has left in `directory`, and writes `leaderboard.html`, `leaderboard.csv` and
    `alpaca_eval/`, replacing older ones, each in one move.

    Returns:
        The path of the page.

    Raises:
        RunError: nothing was measured there, or a file in it cannot be read.
    """
    run = open_run(directory)
    if run.measured is None:
        raise RunError(f"{directory} has no {run.layout.measured.name}: icr evaluate has measured nothing there yet.")
    text, table = render(run, run.measured), grids.long_table(run.measured)
    atomic.replace(run.layout.leaderboard, lambda path: path.write_text(text, encoding="utf-8"))
    atomic.replace(run.layout.leaderboard_csv, lambda path: table.to_csv(path, index=False))
    write_alpaca_eval(run, grids.models_of(run.measured))
    return run.layout.leaderboard


def render(run: Run, measured: Measured) -> str:
    """The page as text."""
    models, languages = grids.models_of(measured), measured.languages
    result = measured.results.get(grids.WIN_RATE)
    embedded = answers.collect(run, models, languages)
    return pages.render(
        "leaderboard/page.html",
        "leaderboard/answers.js",
        run=run,
        measured=measured,
        name=run.directory.resolve().name,
        headline=headline(measured),
        overview=grids.overview(measured),
        main=_main(result, measured) if result else [],
        differences=[d for name, r in measured.results.items() for d in _differences(name, r, languages)],
        checks=grids.checks(measured),
        details=_details(result, measured) if result else [],
        others=[
            (name, _picture(name, r, measured), _other(name, r, measured))
            for name, r in measured.results.items()
            if name != grids.WIN_RATE
        ],
        models=[(display_name(model), measured.models.get(model, "")) for model in models],
        embedded=embedded,
        embedded_json=pages.script_json(embedded),
        config=run.config[:CONFIG_LIMIT],
    )


def _main(result: Result, measured: Measured) -> list[tuple[str, Markup, Grid | None]]:
    """Each win rate: title, picture and table by language."""
    models = grids.models_of(measured)
    return [
        (
            named(figure).title,
            Markup(plots.by_language(result, figure, measured.languages, models)),
            grids.by_language(result, figure, measured.languages, models),
        )
        for figure in grids.main_figures(grids.WIN_RATE, result)
    ]


def _differences(benchmark: str, result: Result, languages: Sequence[str]) -> list[tuple[Markup, Grid]]:
    """Table of each figure and baseline, with a picture for what is in the overview, or is to the first baseline."""
    found, drawn = [], set(grids.main_figures(benchmark, result))
    for number, (figure, baseline) in enumerate(grids.compared(result)):
        picture = ""
        if figure in drawn or (figure, baseline) == next(pair for pair in grids.compared(result) if pair[0] == figure):
            picture = plots.differences(result, figure, baseline, languages, f"difference-{benchmark}-{number}")
        found.append((Markup(picture), grids.differences_grid(result, figure, baseline, languages)))
    return found


def _details(result: Result, measured: Measured) -> list[Grid]:
    others = [name for name in grids.figures_of(result) if name not in grids.MAIN]
    models = grids.models_of(measured)
    return [g for name in others if (g := grids.by_language(result, name, measured.languages, models))]


def _picture(name: str, result: Result, measured: Measured) -> Markup:
    """The first figure of another benchmark, drawn; empty where it has no intervals."""
    models = grids.models_of(measured)
    pictures = (
        plots.by_language(result, figure, measured.languages, models)
        for figure in grids.main_figures(name, result)
        if grids.beside(result, figure)
    )
    return Markup(next(pictures, ""))


def _other(name: str, result: Result, measured: Measured) -> list[Grid]:
    """Tables of another benchmark: over all languages, and of each figure by language where there are several."""
    models, figures = grids.models_of(measured), grids.figures_of(result)
    found = [grids.by_language(result, figure, measured.languages, models) for figure in figures]
    several = [grid for grid in found if grid and len(grid.columns) > 2]
    return [*filter(None, [grids.means(result, figures, name, models)]), *several]
