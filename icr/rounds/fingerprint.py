"""Content hashes, by which a stage knows whether its inputs are still the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def of_value(value: Any) -> str:
    """Hash of anything that JSON can hold."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False, default=str).encode()).hexdigest()[:16]


def of_model(path: str) -> str:
    """Hash of a model folder's configuration, weights and tokenizer; a hub name stands for itself."""
    folder = Path(path)
    if not folder.is_dir():
        return f"hub:{path}"
    files = [p for p in folder.iterdir() if p.suffix in (".json", ".safetensors", ".jinja", ".model")]
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(file.name.encode())
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]


def of_object(value: Any) -> Any:
    """A configured object as its class name and attributes, for the manifest; other values as they are."""
    if isinstance(value, (str, int, float, bool, type(None))):
        return value
    if isinstance(value, (list, tuple, set, frozenset)):
        return [of_object(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): of_object(item) for key, item in value.items()}
    return {"class": type(value).__qualname__} | {name: of_object(item) for name, item in vars(value).items()}
