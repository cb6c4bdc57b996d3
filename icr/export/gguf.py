"""A GGUF file as an ordinary model folder, which anything opens."""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path

from icr.errors import ConfigError
from icr.export.weights import TOKENIZER_CONFIG, check_empty, forget_this_machine, wanted_dtype
from icr.models.gguf import SUFFIX, gguf_file, header_of
from icr.models.gguf_precision import precision, together
from icr.models.tokenizer import load_tokenizer
from icr.models.whole import load_whole
from icr.rundir import Layout

CARD = """# {name}

The weights of the GGUF file `{file}`, made ordinary ones by icr: {stored}.
What rounding has cost is not regained. Terms of use are those of the model that was quantised.
"""


def to_convert(given: Path) -> str | None:
    """The GGUF file that is meant by `given`: itself, or the only one in that folder; None for a run.

    Raises:
        ConfigError: the folder has several.
    """
    if gguf_file(str(given)):
        return str(given)
    if not given.is_dir() or Layout(given).manifest.exists():
        return None
    files = sorted(file for file in given.iterdir() if file.name.lower().endswith(SUFFIX))
    if len(files) > 1:
        raise ConfigError(f"{given} has {len(files)} GGUF files; give one of them, such as {files[0]}.")
    return str(files[0]) if files else None


def convert(path: str, options: argparse.Namespace) -> None:
    """Write the model and tokenizer of the GGUF file `path` to the folder `options.to`.

    Raises:
        ConfigError: an option is given that is about runs alone, or `--dtype` is none.
        ModelError: the file cannot be read.
        RunError: `--to` is a folder with something in it.
    """
    about_runs: dict[str, object] = {"round": None, "merge": False, "dataset": [], "push": None, "private": False}
    for name, default in about_runs.items():
        if getattr(options, name) != default:
            raise ConfigError(f"--{name} is about a run, and {path} is a GGUF file: it is only converted.")
    dtype = wanted_dtype(options.dtype)
    check_empty(options.to)
    file = header_of(path).file.name
    temporary = options.to.with_name(f".{options.to.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        tokenizer = load_tokenizer(path)
        load_whole(path, dtype=dtype or "auto").save_pretrained(temporary, max_shard_size=options.shard_size)
        tokenizer.save_pretrained(temporary)
        forget_this_machine(temporary / TOKENIZER_CONFIG)
        (temporary / "README.md").write_text(_card(path, options.to, file), encoding="utf-8")
        os.replace(temporary, options.to)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    print(f"{file} (an ordinary model folder): {options.to}")


def _card(path: str, target: Path, file: str) -> str:
    types = precision(path)
    kinds = ", ".join(kind.type for kind in types)
    stored = f"{kinds}; {together(types).bits:.2f} bits per weight"
    return CARD.format(name=target.name, file=file.replace("`", ""), stored=stored)
