"""Models, adapters and tokenizers: loading them, and which are in memory together. Imported when it is asked for."""

from typing import TYPE_CHECKING

from icr.lazy import lazily

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

__getattr__ = lazily(
    __name__,
    {
        "icr.models.adapters": ["Lora", "Quantisation"],
        "icr.models.loading": ["LoadedModel", "Loader"],
        "icr.models.rendering": ["Renderer"],
    },
)
