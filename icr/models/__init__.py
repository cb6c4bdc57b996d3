"""Models, adapters and tokenizers: loading them, and which are in memory together.

The names below are imported when they are first asked for: whoever reads a model's folder alone needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from icr.models.adapters import Lora, Quantisation
    from icr.models.loading import LoadedModel, Loader
    from icr.models.rendering import Renderer

__all__ = [
    "LoadedModel",
    "Loader",
    "Lora",
    "Quantisation",
    "Renderer",
]

_FILES = {
    "LoadedModel": "loading",
    "Loader": "loading",
    "Lora": "adapters",
    "Quantisation": "adapters",
    "Renderer": "rendering",
}


def __getattr__(name: str) -> object:
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_FILES[name]}"), name)
