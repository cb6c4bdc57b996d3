"""The reward prompts that a diagnosis compares."""

from __future__ import annotations

from icr.config import Settings
from icr.data import RewardPrompt
from icr.errors import ConfigError


def compared_prompts(settings: Settings) -> dict[str, RewardPrompt]:
    """Reward prompts by name: the run's own first, then those of the diagnosis that are others, and the gate's.

    Raises:
        ConfigError: two that differ have one name.
    """
    own, second = settings.reward_prompt, settings.second_prompt
    given = dict(settings.diagnosis.reward_prompts)
    if second and second not in given.values():
        given["gate"] = second
    name = next((name for name, prompt in given.items() if prompt == own), own.name)
    if given.get(name, own) != own:
        raise ConfigError(
            f"diagnosis.reward_prompts.{name} is another prompt than the run's reward_prompt, which has that name "
            f"too: give it another key."
        )
    return {name: own, **given}
