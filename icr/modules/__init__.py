"""The two LightningModules: reward scoring, and preference training."""

from icr.modules.preference import PreferenceModule
from icr.modules.schedule import Schedule
from icr.modules.scorer import ImplicitRewardModule

__all__ = [
    "ImplicitRewardModule",
    "PreferenceModule",
    "Schedule",
]
