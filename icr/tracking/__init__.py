"""Where metrics go while a run trains."""

from icr.tracking.wandb import CsvTracking, NoTracking, Tracker, WandbTracking

__all__ = [
    "CsvTracking",
    "NoTracking",
    "Tracker",
    "WandbTracking",
]
