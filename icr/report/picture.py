"""The win-rate figure as a file of its own, for a README or a talk."""

from __future__ import annotations

from pathlib import Path

from icr.errors import RunError
from icr.report import svg
from icr.report.plots import win_rate_figure
from icr.rundir.reader import open_run

FORMATS = (".svg", ".png", ".pdf")


def write_picture(run_dir: Path, path: Path) -> Path:
    """Writes the win-rate figure of `run_dir` to `path` (`.svg`, `.png` or `.pdf`), on white, the same bytes each time.

    Raises:
        RunError: `run_dir` holds no run or no win rates, or the suffix is another one.
    """
    if path.suffix not in FORMATS:
        raise RunError(f"{path} should end in one of {', '.join(FORMATS)}.")
    figure = win_rate_figure(open_run(run_dir).summary)
    if figure is None:
        raise RunError(f"{run_dir} has no win rates to draw: the run has not been evaluated by a judge (yet).")
    path.parent.mkdir(parents=True, exist_ok=True)
    svg.save(figure, path)
    return path
