"""Models, adapters and tokenizers: loading them, and which are in memory together."""

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
