"""Implicit Cross-Lingual Rewarding: teach an English-aligned model's preferences to other languages.

The names below are what a notebook wants; `examples/` shows them at work. Each is imported when it is asked for.
"""

from typing import TYPE_CHECKING

from icr.lazy import lazily

if TYPE_CHECKING:
    from icr.data import CrosslingualPrompt
    from icr.logps import score
    from icr.losses import DPO, IPO, KTO, NLL
    from icr.models import Loader
    from icr.rewards import BestWorst, LengthControl, choose_pairs, implicit_reward
    from icr.rundir import open_run
    from icr.types import PreferencePair, Prompt, Response, ScoredResponse

__version__ = "0.2.0"

__all__ = [
    "DPO",
    "IPO",
    "KTO",
    "NLL",
    "BestWorst",
    "CrosslingualPrompt",
    "LengthControl",
    "Loader",
    "PreferencePair",
    "Prompt",
    "Response",
    "ScoredResponse",
    "choose_pairs",
    "implicit_reward",
    "open_run",
    "score",
]

__getattr__ = lazily(
    __name__,
    {
        "icr.data": ["CrosslingualPrompt"],
        "icr.logps": ["score"],
        "icr.losses": ["DPO", "IPO", "KTO", "NLL"],
        "icr.models": ["Loader"],
        "icr.rewards": ["BestWorst", "LengthControl", "choose_pairs", "implicit_reward"],
        "icr.rundir": ["open_run"],
        "icr.types": ["PreferencePair", "Prompt", "Response", "ScoredResponse"],
    },
)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
