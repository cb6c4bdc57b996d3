"""`trainer.precision` as Lightning's plugins and as the arithmetic of policy and training reference.

Lightning's plugins of half precision round whatever passes them: the frequencies of positions, which models keep in
float32, and the reference log-probs of the batch, though neighbours in bfloat16 are 2 nats apart at 300. Here weights
alone are rounded, before the reference is scored with them (`Arithmetic`), and the plugins leave all else alone.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, get_args

from lightning.pytorch.plugins.precision import DeepSpeedPrecision, MixedPrecision
from lightning.pytorch.plugins.precision import Precision as LightningPrecision

from icr.models.arithmetic import Arithmetic

Precision: TypeAlias = Literal["32-true", "bf16-true", "bf16-mixed", "16-true", "16-mixed", "64-true"]
"""Lightning's names."""

PRECISIONS: tuple[str, ...] = get_args(Precision)

ARITHMETIC: dict[Precision, Arithmetic] = {
    "32-true": Arithmetic(),
    "bf16-true": Arithmetic(weights="bfloat16"),
    "bf16-mixed": Arithmetic(products="bfloat16"),
    "16-true": Arithmetic(weights="float16"),
    "16-mixed": Arithmetic(products="float16"),
    "64-true": Arithmetic(weights="float64"),
}


def plugin(precision: Precision, device: str) -> LightningPrecision:
    """Lightning's plugin where products are cast, and one that does nothing where at most weights are rounded."""
    if precision == "bf16-mixed" or precision == "16-mixed":
        return MixedPrecision(precision, device)
    return LightningPrecision()


class RoundedByDeepSpeed(DeepSpeedPrecision):
    """DeepSpeed's 16-bit weights, for batches that reach the training as they are."""

    def convert_input(self, data: Any) -> Any:
        """The same."""
        return data
