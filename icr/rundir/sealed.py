"""JSON documents that show whether they still are as they were written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from icr.rundir import atomic

SEAL = "seal"
"""Key of the hash of all that stands beside it."""


def write(path: Path, document: Mapping[str, object]) -> None:
    """Write `document`, sealed, in the place of what is there."""
    sealed = {**document, SEAL: _seal(document)}
    atomic.replace(path, lambda temporary: atomic.write_json(temporary, sealed))


def opened(document: object) -> dict[str, Any]:
    """What was written as `document`, without the seal.

    Raises:
        ValueError: it is something else; the message says how it is seen.
    """
    if not isinstance(document, dict):
        raise ValueError(f"it holds a {type(document).__name__} and not an object")
    content = {name: value for name, value in document.items() if name != SEAL}
    if document.get(SEAL) != _seal(content):
        raise ValueError("its content is not what was written")
    return content


def _seal(content: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
