"""`icr dashboard [RUN | SWEEP]`: a W&B workspace and a report of its runs, as code."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from icr.terminal import guarded


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="icr dashboard",
        description="Build a W&B workspace and a report of the runs that were made with logger=wandb. Needs a login "
        "with W&B, unless --dry-run writes them to a file.",
    )
    made.add_argument(
        "run",
        type=Path,
        nargs="?",
        help="directory of a run, or folder of a sweep, that tells languages, reward prompts and swept settings; a "
        "sweep's dashboard shows its own jobs alone",
    )
    made.add_argument("--project", default="", help="W&B project (default: the run's own, or icr)")
    made.add_argument("--entity", default="", help="user or team of W&B (default: the run's own, or the login's)")
    made.add_argument("--languages", default="", metavar="CODES", help="in place of a run, as in en,es,sw")
    made.add_argument(
        "--dry-run", type=Path, metavar="FILE", help="write the specification as JSON, without login or network"
    )
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the dashboard, and return the exit code."""
    options = parser().parse_args(arguments)
    return guarded(lambda: _dashboard(options))


def _dashboard(options: argparse.Namespace) -> None:
    from icr.dashboard.job import dashboard  # Not for --help.

    dashboard(options)


if __name__ == "__main__":
    sys.exit(main())
