"""The work of `icr export`: check, write beside, move into place, push; or convert a GGUF file."""

from __future__ import annotations

import argparse
import os
import re
import shutil

from icr.errors import ConfigError, RunError
from icr.export.card import model_card
from icr.export.folder import FinishedRun, finished_run, is_local
from icr.export.gguf import convert, to_convert
from icr.export.hub import check_login, push
from icr.export.weights import check_empty, export_weights
from icr.models.gguf import gguf_file


def export(options: argparse.Namespace) -> None:
    """Check, write beside, move into place, push."""
    if options.private and not options.push:
        raise ConfigError("--private is about --push owner/name, which is not given.")
    if not re.fullmatch(r"[1-9]\d*[KMGT]B", options.shard_size):
        raise ConfigError(f"--shard-size must be a size such as 5GB or 500MB, got {options.shard_size!r}.")
    if file := to_convert(options.run):
        return convert(file, options)
    run = finished_run(options.run, options.round)
    if run.base and not options.merge and gguf_file(run.base):
        raise RunError(
            f"The adapter lies on the GGUF file {run.base}, which peft and transformers do not open by that name: "
            f"--merge makes a whole model of both."
        )
    check_empty(options.to)
    if options.push:
        _check_others_can_load(run, options.merge)
        check_login(options.push)
    merged = options.merge or not run.base
    temporary = options.to.with_name(f".{options.to.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        export_weights(
            run,
            temporary,
            merge=options.merge,
            dtype=options.dtype,
            shard_size=options.shard_size,
            trust_remote_code=options.trust_remote_code,
        )
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
