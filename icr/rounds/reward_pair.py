"""Which two models make the reward of a round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from icr.checks import require_either


@dataclass(frozen=True)
class RewardPair:
    """The reward pair `(policy, reference)`. Config group `reward_pair`.

    The method's is `(π_0, π_I)` in every round. The ablations let either side move along: `policy_round=current`
    rewards with `π_t`, `reference_round=previous` measures against `π_{t−1}` (`π_I` in round 0).
    """

    policy: str
    """Path of `π_0`."""
    reference: str
    """Path of `π_I`."""
    policy_round: str = "initial"
    """`initial` or `current`."""
    reference_round: str = "initial"
    """`initial` or `previous`."""
    residency: str = field(default="both", compare=False)
    """`both` in memory at a time, or `one`, with the model in training off the device meanwhile."""

    def __post_init__(self) -> None:
        require_either("policy_round", self.policy_round, "initial", "current")
        require_either("reference_round", self.reference_round, "initial", "previous")
        require_either("residency", self.residency, "both", "one")
        if (self.policy_round, self.reference_round) == ("initial", "previous"):
            raise ValueError(
                "reference_round=previous needs policy_round=current: in round 1 the previous policy is the initial "
                "one, and the reward of a model against itself is zero"
            )

    def at(self, round: int, policies: Sequence[str]) -> tuple[str, str]:
        """Paths of policy and reference in `round`, given the paths of `π_0 … π_t`."""
        policy = self.policy if self.policy_round == "initial" else policies[round]
        moves = self.reference_round == "previous" and round > 0
        return policy, policies[round - 1] if moves else self.reference
