"""Choices that compose, and yet do not belong together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from icr.errors import ConfigError

if TYPE_CHECKING:
    from icr.config.settings import ModelSettings, Settings


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


def check_gate(settings: Settings) -> None:
    """Refuse a gate that compares two rewards of which there is one.

    Raises:
        ConfigError: the reward is under no prompt, or both prompts are the same.
    """
    if settings.second_prompt is None:
        return
    if not settings.reward.prompted:
        raise ConfigError(
            f"gate: {type(settings.gate).__name__} compares rewards under two reward prompts, and "
            f"{type(settings.reward).__name__} is under none: give gate=none, or reward=implicit or reward=model."
        )
    if settings.second_prompt == settings.reward_prompt:
        raise ConfigError(
            f"gate.reward_prompt is the run's own ({settings.reward_prompt.name}), so that both rewards are one: give "
            f"another one, as in reward_prompt@gate.reward_prompt=multilingual, or gate=none."
        )
