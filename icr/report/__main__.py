"""`python -m icr.report RUN`: prints a run's tables and writes its page."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from icr.errors import ICRError
from icr.report import headline, open_run, print_tables, write_picture, write_report


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 0, or 1 after a message about what the user can put right."""
    parser = argparse.ArgumentParser(
        prog="python -m icr.report",
        description="Print the tables of a run, finished or not, and write RUN/report.html.",
    )
    parser.add_argument("run", type=Path, help="directory of the run (the one with manifest.json)")
    parser.add_argument(
        "--picture", type=Path, metavar="FILE", help="write the win-rate figure (.svg, .png, .pdf) instead of the page"
    )
    options = parser.parse_args(arguments)
    try:
        if options.picture:
            print(write_picture(options.run, options.picture))
            return 0
        summary = open_run(options.run).summary
        print_tables(summary)
        print(headline(summary))
        print(write_report(options.run))
    except ICRError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
