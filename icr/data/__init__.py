"""Prompts, demonstrations and preferences from files, and pairs as batches."""

from icr.data.datamodule import CrossLingualPairDataModule
from icr.data.files import DemonstrationFile, PreferenceFile
from icr.data.prompts import ParallelPrompts
from icr.data.reward_prompts import CrosslingualPrompt, MultilingualPrompt, RewardPrompt, TranslatePrompt, Translator

__all__ = [
    "CrossLingualPairDataModule",
    "CrosslingualPrompt",
    "DemonstrationFile",
    "MultilingualPrompt",
    "ParallelPrompts",
    "PreferenceFile",
    "RewardPrompt",
    "TranslatePrompt",
    "Translator",
]
