"""What a model family states in its configuration, under names that not every family has."""

from __future__ import annotations

from typing import Any

from transformers import PretrainedConfig


def stated(config: PretrainedConfig, name: str) -> Any:
    """The setting `name` of a configuration (of its text part, where there are others); None where it has none."""
    return getattr(config, name, None)
