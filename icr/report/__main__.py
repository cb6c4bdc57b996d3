"""`icr report RUN …`, `python -m icr.report RUN …`: the tables of a run, a sweep or an evaluation, and its page."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from icr.terminal import guarded

if TYPE_CHECKING:
    from icr.rundir.measured import Measured
    from icr.rundir.results import Summary


def main(arguments: Sequence[str] | None = None) -> int:
    """Report, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="icr report",
        description="Print the tables of a run, finished or not, and write its report.html; of a sweep's folder, or of "
        "several runs, compare all of them and write sweep.html and sweep.csv; of a directory of icr evaluate, such as "
        "<run>/benchmarks, print the leaderboard and write leaderboard.html.",
    )
    parser.add_argument(
        "run", type=Path, nargs="+", help="directory of a run or evaluation (the one with manifest.json), or of a sweep"
    )
    parser.add_argument(
        "--picture", type=Path, metavar="FILE", help="write the win-rate figure (.svg, .png, .pdf) instead of the page"
    )
    parser.add_argument(
        "--to", type=Path, metavar="FOLDER", help="where the page of several runs is written; this folder, if not given"
    )
    options = parser.parse_args(arguments)
    return guarded(lambda: _report(options.run, options.picture, options.to))


def _report(directories: Sequence[Path], picture: Path | None, to: Path | None) -> None:
    from icr.errors import RunError
    from icr.rundir.sweeps import is_sweep  # Not for --help.

    one = directories[0] if len(directories) == 1 else None
    if picture and (one is None or is_sweep(one)):
        raise RunError("--picture draws one run: give its directory alone.")
    if to and one and not is_sweep(one):
        raise RunError(f"--to is for the page of several runs, and {one} is one: its page is written into it.")
    if one is None or is_sweep(one):
        _show_sweep(directories, to)
    else:
        _report_one(one, picture)


def _show_sweep(directories: Sequence[Path], to: Path | None) -> None:
    from icr.report.sweep import as_sweep, print_sweep, write_sweep
    from icr.rundir.sweeps import open_sweep

    whole = len(directories) == 1 and to is None
    sweep = open_sweep(directories[0]) if whole else as_sweep(directories, to or Path())
    print_sweep(sweep)
    print(write_sweep(sweep))


def _report_one(directory: Path, picture: Path | None) -> None:
    from icr.report import open_run, write_picture

    if picture:
        print(write_picture(directory, picture))
        return
    run = open_run(directory)
    if run.measured:
        _show_leaderboard(directory, run.measured)
    else:
        _show_run(directory, run.summary)


def _show_leaderboard(directory: Path, measured: Measured) -> None:
    from icr.report.leaderboard import headline, print_leaderboard, write_leaderboard

    print_leaderboard(measured)
    print(headline(measured))
    print(write_leaderboard(directory))


def _show_run(directory: Path, summary: Summary) -> None:
    from icr.report import headline, print_tables, write_report

    print_tables(summary)
    print(headline(summary))
    print(write_report(directory))


if __name__ == "__main__":
    sys.exit(main())
