"""What a model folder says of itself. Light: neither torch nor transformers is imported for a folder on disk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from icr.errors import ICRError, ModelError, near_folder, one_line
from icr.models.gguf import check_gguf, gguf_file

CONFIG = "config.json"
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Within it, a library reads files of a model: of what is wrong with them it raises whatever comes up.

    Raises:
        ModelError: it has raised anything; `what` cannot be loaded.
    """
    try:
        yield
    except ICRError:
        raise
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(f"{what} cannot be loaded: {one_line(error)}") from error
    except Exception as error:
        raise ModelError(f"{what} cannot be loaded: {type(error).__name__}, {one_line(error)}") from error


def check_exists(path: str) -> None:
    """Refuse a path that is no folder, no GGUF file, and does not look like a hub name (`owner/name`).

    Raises:
        ModelError: naming the folder or file, and a similar one beside it where there is one.
        ConfigError: a package is missing that reads it.
    """
    if file := gguf_file(path):
        return check_gguf(path, file)
    folder = Path(path)
    if folder.is_dir():
        if not any((folder / name).is_file() for name in (CONFIG, ADAPTER_CONFIG)):
            raise ModelError(f"The model folder {path} has no config.json; give a folder that save_pretrained wrote.")
        return
    if str(path).count("/") == 1 and not str(path).startswith((".", "/", "~")) and not folder.parent.is_dir():
        return
    raise ModelError(f"The model folder {path} does not exist.{near_folder(folder)}")


def base_of(path: str) -> str | None:
    """Path of the model that the adapter at `path` (a folder or a hub name) lies on; None where `path` is no adapter.

    Raises:
        ModelError: the adapter's configuration cannot be read, or names no model.
    """
    file = _adapter_config(path)
    if file is None:
        return None
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
        base = settings.get("base_model_name_or_path")
    except (ValueError, AttributeError, RecursionError) as error:
        raise ModelError(f"The adapter {path} cannot be loaded: its {ADAPTER_CONFIG} is not valid JSON.") from error
    if not base:
        raise ModelError(f"The adapter {path} names no model: set base_model_name_or_path in its {ADAPTER_CONFIG}.")
    return str(base)


def _adapter_config(path: str) -> Path | None:
    """The file that makes `path` an adapter, from the hub if need be; None where it is a model."""
    folder = Path(path)
    if gguf_file(path):
        return None
    if folder.is_dir():
        file = folder / ADAPTER_CONFIG
        return file if file.is_file() and not (folder / CONFIG).is_file() else None
    from transformers.utils.peft_utils import find_adapter_config_file

    try:
        found = find_adapter_config_file(path)
    except OSError:
        return None  # A hub that cannot be reached: loading the tokenizer says so better.
    return Path(found) if found else None
