"""Content hashes and settings as JSON, of which the keys of stages are made."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import TypeAlias

from icr.models.folder import base_of

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


def of_value(value: object) -> str:
    """Hash of anything that JSON can hold."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:16]


def as_stored(value: Json) -> Json:
    """A value as it is when it has been written as JSON and read again."""
    stored: Json = json.loads(json.dumps(value))
    return stored


def of_model(path: str) -> str:
    """Hash of a model folder's configuration, weights and tokenizer; a hub name stands for itself.

    An adapter's hash is also of the model that it lies on.
    """
    folder = Path(path)
    if not folder.is_dir():
        return f"hub:{path}"
    files = [p for p in folder.iterdir() if p.suffix in (".json", ".safetensors", ".jinja", ".model")]
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(file.name.encode())
        digest.update(_of_file(file, file.stat().st_size, file.stat().st_mtime_ns))
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


@functools.cache
def _of_file(file: Path, size: int, modified: int) -> bytes:
    # Weights are gigabytes, and each stage of a round asks.
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()


def _settings(value: object) -> dict[str, object]:
    """What an object was made with, not what it has worked out since, nor what does not count in comparing it."""
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.compare}
    cached = {name for name, item in vars(type(value)).items() if isinstance(item, functools.cached_property)}
    return {name: item for name, item in vars(value).items() if name not in cached}
