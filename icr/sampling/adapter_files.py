"""What vLLM has to be told about a LoRA adapter's folder."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from transformers.utils.hub import cached_file

from icr.models.folder import ADAPTER_CONFIG, ADAPTER_WEIGHTS

RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""Ranks that vLLM takes for `max_lora_rank`."""


def folder_of(path: str) -> str:
    """The folder on disk of an adapter: its own, or where an adapter of the hub lies in the cache."""
    return str(Path(str(cached_file(path, ADAPTER_WEIGHTS))).parent.absolute())


def rank_of(folder: str) -> int:
    """The smallest of vLLM's ranks that holds the adapter in this folder."""
    config = json.loads((Path(folder) / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    rank = max(config["r"], *(config.get("rank_pattern") or {}).values(), 0)
    return next((fits for fits in RANKS if fits >= rank), rank)


def name_of(folder: str) -> str:
    """A name that the adapter's settings and weights decide, so that no server takes it for an older one."""
    digest = hashlib.sha256()
    for file in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
        digest.update((Path(folder) / file).read_bytes())
    return f"icr-{digest.hexdigest()[:16]}"
