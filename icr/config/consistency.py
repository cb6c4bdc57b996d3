"""Choices that compose, and yet do not belong together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from icr.errors import ConfigError

if TYPE_CHECKING:
    from icr.config.settings import ModelSettings


def check_family(made_for: str | None, model: ModelSettings) -> None:
    """Refuse a model with the settings of another scale.

    A choice of `data` that brings decoding, optimiser, trainer and judge with it says in `made_for` for which family of
    models they are, and a model that is of one says so in `model.family`.

    Raises:
        ConfigError: the settings are made for a family that the model is not of.
    """
    if made_for is None or model.family == made_for:
        return
    raise ConfigError(
        f"model.path={model.path}: this choice of data brings decoding, optimiser, trainer and judge that are made for "
        f"models of the family {made_for!r}, and this is none. Add data=parallel data.dir=<folder of <lang>.jsonl> "
        f"langs=[en,es], or experiment=paper_dpo data.dir=<folder>; made_for=null takes the settings as they are."
    )
