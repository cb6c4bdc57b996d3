"""`icr cache`: lists the stages that runs share, prunes them, and adds those of a run."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from icr.terminal import guarded

if TYPE_CHECKING:
    from icr.cache.contents import Listed


def main(arguments: Sequence[str] | None = None) -> int:
    """List, prune or add, and return the exit code."""
    home = Path(os.environ.get("ICR_CACHE", "~/.cache/icr")).expanduser() / "stages"
    parser = argparse.ArgumentParser(
        prog="icr cache",
        description="The stages that runs share: a sweep's jobs take from here what another run has made. Nothing here "
        "is lost to a run that has taken it: its files are the run's own.",
    )
    parser.add_argument("--dir", type=Path, default=home, help=f"the cache, as cache.dir names it (now {home})")
    words = parser.add_subparsers(dest="word", metavar="word")
    words.add_parser("list", help="every stage: what, how large, when it was of use last, which run made it (default)")
    prune = words.add_parser("prune", help="remove stages by age and size; no run is touched")
    prune.add_argument("--older-than", metavar="AGE", help="those of no use for so long: 12h, 30d, 4w")
    prune.add_argument("--larger-than", metavar="SIZE", help="the longest idle, until only so much stays: 500M, 20G")
    prune.add_argument("--dry-run", action="store_true", help="say what would go, and leave it")
    words.add_parser("add", help="put the stages of a run there").add_argument("run", type=Path, nargs="+")
    return guarded(lambda: _do(parser.parse_args(arguments), prune))


def _do(options: argparse.Namespace, prune: argparse.ArgumentParser) -> None:
    from icr.cache import contents  # Not for --help.

    if options.word == "add":
        for run in options.run:
            added, left = contents.add(options.dir, run)
            print(f"{run}: {added} stages are in {options.dir}" + (f", {left} cannot be shared" if left else ""))
        return
    found = contents.listed(options.dir)
    if options.word != "prune":
        _show(found, options.dir)
        return
    if not options.older_than and not options.larger_than:
        prune.error("say what is to go: --older-than 30d, --larger-than 20G, or both")
    age, size = (given and contents.amount(given) for given in (options.older_than, options.larger_than))
    gone = contents.to_prune(found, age or None, size or None)
    if not options.dry_run:
        contents.prune(options.dir, gone)
    verb = "would be removed" if options.dry_run else "are removed"
    print(f"{len(gone)} of {len(found)} stages {verb}, {_size(sum(one.bytes for one in gone))}")


def _show(found: Sequence[Listed], cache: Path) -> None:
    table = Table("stage", "size", "idle", "took", "made by", box=None)
    for one in found:
        document = one.shared.document
        took = f"{document['seconds']:,.0f} s"
        table.add_row(document["stage"], _size(one.bytes), _age(one.idle), took, document["made_by"])
    Console().print(table)
    print(f"{len(found)} stages, {_size(sum(one.bytes for one in found))}, in {cache}")


def _size(count: float) -> str:
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1000:
            return f"{count:,.0f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"


def _age(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:.0f} h" if hours < 48 else f"{hours / 24:.0f} d"


if __name__ == "__main__":
    sys.exit(main())
