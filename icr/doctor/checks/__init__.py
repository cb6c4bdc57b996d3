"""What is examined of machine, tokenizers, prompts and weights: a file per subject, each check a stream of findings."""

from typing import TYPE_CHECKING

from icr.lazy import lazily

if TYPE_CHECKING:
    from icr.doctor.checks.examine import Examination

__all__ = [
    "Examination",
]

__getattr__ = lazily(
    __name__,
    {
        "icr.doctor.checks.examine": ["Examination"],
    },
)
