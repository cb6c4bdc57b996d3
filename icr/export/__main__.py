"""`python -m icr.export RUN --to FOLDER`: a round's model as a folder to share, with a card; pushed on demand."""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import sys
from pathlib import Path

import transformers

from icr.config.messages import system_error
from icr.errors import ConfigError, ICRError, RunError
from icr.export.card import model_card
from icr.export.folder import FinishedRun, finished_run, is_local
from icr.export.hub import check_login, push
from icr.export.weights import check_empty, export_weights


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m icr.export",
        description="Write a model of a run as a folder to share: safetensors, tokenizer with its chat template, and a "
        "card with the run's data, settings and results.",
    )
    made.add_argument("run", type=Path, help="directory of the run (the one with manifest.json)")
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
        "--dataset", action="append", default=[], metavar="NAME", help="hub name of the data, for the card"
    )
    made.add_argument("--push", metavar="OWNER/NAME", help="upload the folder to this repository of the hub as well")
    made.add_argument("--private", action="store_true", help="with --push: a repository that is made is private")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 0, or 1 after a message about what the user can put right."""
    options = parser().parse_args(arguments)
    transformers.logging.set_verbosity_error()
    # bitsandbytes, which peft imports, tells of a kernel that nothing here needs.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    if not sys.stderr.isatty():
        transformers.logging.disable_progress_bar()
    try:
        export(options)
    except ICRError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {system_error(error)}", file=sys.stderr)
        return 1
    return 0


def export(options: argparse.Namespace) -> None:
    """Check, write beside, move into place, push."""
    if options.private and not options.push:
        raise ConfigError("--private is about --push owner/name, which is not given.")
    run = finished_run(options.run, options.round)
    check_empty(options.to)
    if options.push:
        _check_others_can_load(run, options.merge)
        check_login(options.push)
    merged = options.merge or not run.base
    temporary = options.to.with_name(f".{options.to.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        export_weights(run, temporary, merge=options.merge, dtype=options.dtype, shard_size=options.shard_size)
        card = model_card(run, options.push or options.to.name, merged=merged, datasets=options.dataset)
        (temporary / "README.md").write_text(card, encoding="utf-8")
        os.replace(temporary, options.to)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    print(f"{run.name} ({'a whole model' if merged else 'an adapter'}): {options.to}")
    if options.push:
        print(f"pushed: {push(options.to, options.push, private=options.private)}")


def _check_others_can_load(run: FinishedRun, merge: bool) -> None:
    if run.base and not merge and is_local(run.base):
        raise RunError(
            f"--push: the adapter's base model is the folder {run.base}, which nobody else has; --merge makes a whole "
            f"model of it."
        )


if __name__ == "__main__":
    sys.exit(main())
