"""Content hashes and settings as JSON, of which the keys of stages are made."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import TypeAlias

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HTTPError

from icr.models.folder import ADAPTER_CONFIG, CONFIG, base_of
from icr.models.gguf import gguf_file
from icr.rundir import content

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


def of_value(value: object) -> str:
    """Hash of anything that JSON can hold. Equal numbers have one hash: two command lines may say `1` and `1.0`."""
    text = json.dumps(_with_whole_numbers(value), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def as_stored(value: Json) -> Json:
    """A value as it is when it has been written as JSON and read again."""
    stored: Json = json.loads(json.dumps(value))
    return stored


NEVER_READ = (".md", ".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".onnx", ".gguf")
"""Suffixes of files in a model folder that loading does not read: text for people, and weights in another form."""

READ_WITHIN = (".py", ".jinja")
"""Suffixes of files that it may read in the folders within."""


TOKENIZER_FILES = ("added_tokens", "chat_template", "merges", "special_tokens_map", "spiece", "tokenizer", "vocab")
TOKENIZER_SUFFIXES = (".jinja", ".json", ".model", ".txt")
"""Beginnings and suffixes of the files that a tokenizer is made of."""


def of_model(path: str) -> str:
    """Hash of all that loading may read of a model folder; of a model of a hub its name and its revision.

    A folder's hash is of weights and tokenizer, of configurations, code and chat templates. A revision is a commit of
    the hub, which names content, too; a model that is not to be had stands for itself by its name alone. An adapter's
    hash is also of the model that it lies on. A GGUF file's hash is of the file and of tokenizer files beside it.
    """
    folder, gguf = Path(path), gguf_file(path)
    if gguf and gguf.local:
        return _of_gguf(gguf.located())
    if not folder.is_dir():
        revision, base = _revision(path), _hub_base(path)
        return f"hub:{path}" + (f"@{revision}" if revision else "") + (f" on {of_model(base)}" if base else "")
    digest = hashlib.sha256()
    for file in sorted(_read(folder)):
        digest.update(str(file.relative_to(folder)).encode())
        digest.update(content.digest(file))
    if base := base_of(path):
        digest.update(of_model(base).encode())
    return digest.hexdigest()[:16]


def of_object(value: object) -> Json:
    """A configured object as its class and the settings that it was made with; other values as they are.

    Of dataclasses, fields that are declared with `compare=False` are left out: they change no number.
    """
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [of_object(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((of_object(item) for item in value), key=of_value)
    if isinstance(value, Mapping):
        return {str(key): of_object(item) for key, item in value.items()}
    if isinstance(value, functools.partial):
        named = {str(i): item for i, item in enumerate(value.args)} | value.keywords
        return {"class": value.func.__qualname__} | {name: of_object(item) for name, item in named.items()}
    return {"class": type(value).__qualname__} | {name: of_object(item) for name, item in _settings(value).items()}


def _read(folder: Path) -> Iterator[Path]:
    """Files that loading may read. Folders within hold code and chat templates, or what has nothing to do with it:
    checkpoints of a training, weights in other forms.
    """
    for file in folder.rglob("*"):
        within, suffix = file.relative_to(folder), file.suffix.lower()
        counts = suffix in READ_WITHIN if len(within.parts) > 1 else suffix not in NEVER_READ
        if counts and not any(part.startswith(".") for part in within.parts) and file.is_file():
            yield file


def _of_gguf(file: Path) -> str:
    """Hash of a GGUF file, and of what a tokenizer would read beside it in its place."""
    others = (other for name in TOKENIZER_FILES for other in file.parent.glob(f"{name}*"))
    beside = sorted(other for other in others if other.suffix in TOKENIZER_SUFFIXES and other.is_file())
    digest = hashlib.sha256(content.digest(file))
    for other in beside:
        digest.update(other.name.encode())
        digest.update(content.digest(other))
    return digest.hexdigest()[:16]


def _with_whole_numbers(value: object) -> object:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {name: _with_whole_numbers(item) for name, item in value.items()}
    return [_with_whole_numbers(item) for item in value] if isinstance(value, (list, tuple)) else value


@functools.cache
def _revision(name: str) -> str | None:
    """Commit of what is loaded as `name`; None where the hub cannot be reached and the cache does not have it."""
    gguf = gguf_file(name)
    for file in (gguf.name,) if gguf else (CONFIG, ADAPTER_CONFIG):
        try:
            found = Path(hf_hub_download(gguf.source if gguf else name, file))
            return found.parents[len(Path(file).parts) - 1].name
        except (OSError, ValueError, HTTPError):
            continue
    return None


_hub_base = functools.cache(base_of)  # Each stage of a round asks.


def _settings(value: object) -> dict[str, object]:
    """What an object was made with, not what it has worked out since, nor what does not count in comparing it."""
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.compare}
    cached = {name for name, item in vars(type(value)).items() if isinstance(item, functools.cached_property)}
    return {name: item for name, item in vars(value).items() if name not in cached}
