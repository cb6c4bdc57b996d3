"""Weights and tokenizer of a round, as a folder that `from_pretrained` loads."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from icr.errors import ConfigError, ModelError, RunError, one_line
from icr.export.folder import FinishedRun
from icr.models.adapters import merged
from icr.models.configuration import configuration
from icr.models.dtypes import torch_dtype
from icr.models.folder import base_of
from icr.models.rendering import Renderer
from icr.models.tokenizer import load_tokenizer
from icr.models.whole import load_whole

TOKENIZER_CONFIG = "tokenizer_config.json"
MACHINES_OWN = ("is_local", "local_files_only", "name_or_path")
"""Entries of a tokenizer's configuration that are about where it was loaded from."""


def export_weights(
    run: FinishedRun,
    target: Path,
    *,
    merge: bool,
    dtype: str = "",
    shard_size: str = "5GB",
    trust_remote_code: bool = False,
) -> None:
    """Write the round's model and tokenizer to `target`, in safetensors.

    An adapter is copied as it is, or with `merge` put into its base model: in float32, so that no small step is lost,
    and only then converted.

    Args:
        dtype: of the weights, such as `bfloat16`; empty keeps that of the round's (or the base's) weights.
        shard_size: largest file, such as `5GB`.
        trust_remote_code: whether code that the model brings may run. Nothing in a run directory can say so: it may be
            somebody else's.

    Raises:
        ConfigError: `dtype` is no dtype, or is asked for with an adapter that is not merged; or the model brings code,
            which is not trusted.
        RunError: `target` is a folder with something in it.
        ModelError: the model, or an adapter's base, cannot be loaded, or they do not fit; or its chat template cannot
            render a conversation.
    """
    wanted = wanted_dtype(dtype)
    check_empty(target)
    if run.base and not merge:
        if dtype:
            raise ConfigError(f"--dtype {dtype}: an adapter is exported as it is; --merge makes a whole model of it.")
        if (run.model / TOKENIZER_CONFIG).is_file():
            _tokenizer(run.model, trust_remote_code)
        shutil.copytree(run.model, target, ignore=shutil.ignore_patterns("README.md"), dirs_exist_ok=True)
    else:
        with _asking_for_trust():
            configuration(str(run.model), trust_remote_code)
            tokenizer = _tokenizer(run.model, trust_remote_code)
            model = _whole(str(run.model), wanted, trust_remote_code)
        model.save_pretrained(target, max_shard_size=shard_size)
        tokenizer.save_pretrained(target)
    forget_this_machine(target / TOKENIZER_CONFIG)


def _tokenizer(folder: Path, remote_code: bool) -> PreTrainedTokenizerBase:
    """The tokenizer in `folder`, with which whoever gets the model renders prompts.

    Raises:
        ModelError: it cannot be read, or its chat template cannot render a prompt.
    """
    tokenizer = load_tokenizer(str(folder), remote_code)
    if tokenizer.chat_template:
        Renderer(tokenizer, str(tokenizer.eos_token), f"The chat template of {folder}")
    return tokenizer


def check_empty(target: Path) -> None:
    """Refuse to write over anything.

    Raises:
        RunError: `target` is a file, or a folder with something in it.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise RunError(f"--to: {target} is there already and not empty; give a new folder, or remove that one.")


def wanted_dtype(name: str) -> torch.dtype | None:
    """What `--dtype` names; None where it is not given.

    Raises:
        ConfigError: it names no dtype.
    """
    try:
        return torch_dtype(name) if name else None
    except ValueError as error:
        raise ConfigError(f"--dtype must be one such as float32, bfloat16 or float16, got {name!r}.") from error


def _whole(path: str, dtype: torch.dtype | None, remote_code: bool) -> PreTrainedModel:
    """The model at `path`; where that is an adapter, the base that it names with the adapter merged in."""
    if base := base_of(path):
        model = merged(_whole(base, torch.float32, remote_code), path)
        # The decorator of transformers' `to` hides `self` from a type checker.
        converted: PreTrainedModel = model.to(dtype or _stored_dtype(base, remote_code))  # type: ignore[arg-type]
        return converted
    # Nothing is computed with it, and the kernels that a configuration may name are code, too.
    return load_whole(path, dtype=dtype or "auto", trust_remote_code=remote_code, attn_implementation="eager")


@contextmanager
def _asking_for_trust() -> Iterator[None]:
    """Say how a model's own code is allowed here, where transformers says how it is there."""
    try:
        yield
    except (ModelError, OSError, ValueError) as error:
        if "trust_remote_code" not in f"{error} {error.__cause__}":
            raise
        raise ConfigError(
            f"--trust-remote-code is not given, and the model brings code of its own. Give it if you trust whoever "
            f"made the run and the model: {one_line(error.__cause__ or error)}"
        ) from error


def _stored_dtype(path: str, remote_code: bool) -> torch.dtype:
    """What the weights at the end of a chain of adapters are stored in."""
    stored = configuration(path, remote_code).dtype
    return torch_dtype(stored) if isinstance(stored, str) else stored or torch.float32


def forget_this_machine(path: Path) -> None:
    """Take out of a `tokenizer_config.json` what is about where it was loaded from."""
    if path.is_file():
        settings = json.loads(path.read_text(encoding="utf-8"))
        kept = {key: value for key, value in settings.items() if key not in MACHINES_OWN}
        path.write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
