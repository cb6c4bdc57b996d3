"""Where metrics go while a run trains."""

from icr.tracking.wandb import CsvTracking, NoTracking, WandbTracking

__all__ = [
    "CsvTracking",
    "NoTracking",
    "WandbTracking",
]
