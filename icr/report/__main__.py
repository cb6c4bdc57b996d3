"""`icr report RUN`, `python -m icr.report RUN`: prints the tables of a run or an evaluation, and writes its page."""

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
        description="Print the tables of a run, finished or not, and write its report.html; of a directory of icr "
        "evaluate, such as <run>/benchmarks, print the leaderboard and write leaderboard.html.",
    )
    parser.add_argument("run", type=Path, help="directory of the run or evaluation (the one with manifest.json)")
    parser.add_argument(
        "--picture", type=Path, metavar="FILE", help="write the win-rate figure (.svg, .png, .pdf) instead of the page"
    )
    options = parser.parse_args(arguments)
    return guarded(lambda: _report(options.run, options.picture))


def _report(directory: Path, picture: Path | None) -> None:
    from icr.report import open_run, write_picture  # Not for --help.

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
