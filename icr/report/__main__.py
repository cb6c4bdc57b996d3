"""`icr report RUN`, `python -m icr.report RUN`: prints a run's tables and writes its page."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from icr.terminal import guarded


def main(arguments: Sequence[str] | None = None) -> int:
    """Report, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="icr report",
        description="Print the tables of a run, finished or not, and write RUN/report.html.",
    )
    parser.add_argument("run", type=Path, help="directory of the run (the one with manifest.json)")
    parser.add_argument(
        "--picture", type=Path, metavar="FILE", help="write the win-rate figure (.svg, .png, .pdf) instead of the page"
    )
    options = parser.parse_args(arguments)
    return guarded(lambda: _report(options.run, options.picture))


def _report(run: Path, picture: Path | None) -> None:
    from icr.report import headline, open_run, print_tables, write_picture, write_report  # Not for --help.

    if picture:
        print(write_picture(run, picture))
        return
    summary = open_run(run).summary
    print_tables(summary)
    print(headline(summary))
    print(write_report(run))


if __name__ == "__main__":
    sys.exit(main())
