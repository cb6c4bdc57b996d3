"""Content hashes, by which a stage knows whether its inputs are still the same."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from icr.models.folder import base_of


def of_value(value: Any) -> str:
    """Hash of anything that JSON can hold."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False, default=str).encode()).hexdigest()[:16]


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


def of_object(value: Any) -> Any:
    """A configured object as its class name and attributes, for the manifest; other values as they are."""
    if isinstance(value, (str, int, float, bool, type(None))):
        return value
    if isinstance(value, (list, tuple)):
        return [of_object(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((of_object(item) for item in value), key=of_value)
    if isinstance(value, Mapping):
        return {str(key): of_object(item) for key, item in value.items()}
    return {"class": type(value).__qualname__} | {name: of_object(item) for name, item in _settings(value).items()}


@functools.cache
def _of_file(file: Path, size: int, modified: int) -> bytes:
    # Weights are gigabytes, and each stage of a round asks.
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()


def _settings(value: Any) -> dict[str, Any]:
    """What an object was made with, not what it has worked out since, nor what does not count in comparing it."""
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.compare}
    if not hasattr(value, "__dict__"):
        return {"value": str(value)}
    cached = {name for name in vars(value) if isinstance(getattr(type(value), name, None), functools.cached_property)}
    return {name: item for name, item in vars(value).items() if name not in cached}
