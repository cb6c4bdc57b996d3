"""Losses: pure functions of log-probs, one equation per file, and the objectives of config group `loss`."""

from icr.losses.dpo import DPO, dpo_loss
from icr.losses.dpo_norm import DPONorm, dpo_norm_loss
from icr.losses.ipo import IPO, ipo_loss
from icr.losses.kto import KTO, kl_estimate, kto_loss
from icr.losses.ld_dpo import LDDPO, tail_weighted
from icr.losses.nll import NLL, nll_loss
from icr.losses.objective import AllReduce, Objective, identity

__all__ = [
    "DPO",
    "IPO",
    "KTO",
    "LDDPO",
    "NLL",
    "AllReduce",
    "DPONorm",
    "Objective",
    "dpo_loss",
    "dpo_norm_loss",
    "identity",
    "ipo_loss",
    "kl_estimate",
    "kto_loss",
    "nll_loss",
    "tail_weighted",
]
