"""Faces of rooms whose names are imported when they are asked for (PEP 562): to import the room costs nothing."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence


def lazily(face: str, homes: Mapping[str, Sequence[str]]) -> Callable[[str], object]:
    """The `__getattr__` of a module.

    Args:
        face: `__name__` of the module.
        homes: module → the names that the face takes from it.
    """
    home = {name: module for module, names in homes.items() for name in names}

    def get(name: str) -> object:
        if name not in home:
            raise AttributeError(f"module {face!r} has no attribute {name!r}")
        found = getattr(importlib.import_module(home[name]), name)
        # Kept, and in place of a submodule of the same name, which its import has just put there.
        setattr(sys.modules[face], name, found)
        return found

    return get
