"""Agreement of two reward prompts: a pair counts only if both order it the same way.

After arXiv 2502.08922, where pairs on which a model's internal rewards disagree are filtered out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from icr.data import RewardPrompt


@dataclass(frozen=True)
class AgreementGate:
    """Leaves out pairs that the reward under another prompt does not order as the run's own does.

    Both are taken after the same penalty: with `s = r − α_len·|y|` and `s' = r' − α_len·|y|` a pair that `s` has chosen
    stays where `s'_chosen > s'_rejected`. Others are dropped and counted, as in the source, and no other pair of the
    prompt is looked for. `α_len` is found for the pairs that stay.

    Attributes:
        reward_prompt: the other one.
    """

    reward_prompt: RewardPrompt
    checks: ClassVar[Literal["pairs"]] = "pairs"
