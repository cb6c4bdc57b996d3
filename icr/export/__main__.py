"""`icr export RUN --to FOLDER`: a round's model as a folder to share, with a card; pushed on demand. Or a GGUF file."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from icr.terminal import guarded


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="icr export",
        description="Write a model of a run as a folder to share: safetensors, tokenizer with its chat template, and a "
        "card with the run's data, settings and results. A GGUF file becomes such a folder, too.",
    )
    made.add_argument(
        "run",
        type=Path,
        help="directory of the run (the one with manifest.json), or a GGUF file (or the folder that it lies in) to "
        "be made an ordinary folder",
    )
    made.add_argument(
        "--to", type=Path, required=True, metavar="FOLDER", help="where to write it: a new or empty folder"
    )
    made.add_argument("--round", type=int, help="round whose model it is; the last complete one by default")
    made.add_argument(
        "--merge", action="store_true", help="merge an adapter into its base; whole models are as they are"
    )
    made.add_argument(
        "--dtype", default="", help="convert the weights, as in bfloat16; they stay as they are by default"
    )
    made.add_argument("--shard-size", default="5GB", metavar="SIZE", help="largest file (default: 5GB)")
    made.add_argument(
        "--trust-remote-code", action="store_true", help="let code run that the model brings; never by default"
    )
    made.add_argument(
        "--dataset", action="append", default=[], metavar="NAME", help="hub name of the data, for the card"
    )
    made.add_argument("--push", metavar="OWNER/NAME", help="upload the folder to this repository of the hub as well")
    made.add_argument("--private", action="store_true", help="with --push: a repository that is made is private")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Export, and return the exit code."""
    options = parser().parse_args(arguments)
    return guarded(lambda: _export(options))


def _export(options: argparse.Namespace) -> None:
    import transformers  # Seconds of imports, which --help does without.

    from icr.export.job import export

    transformers.logging.set_verbosity_error()
    # bitsandbytes, which peft imports, tells of a kernel that nothing here needs.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    if not sys.stderr.isatty():
        transformers.logging.disable_progress_bar()
    export(options)


if __name__ == "__main__":
    sys.exit(main())
