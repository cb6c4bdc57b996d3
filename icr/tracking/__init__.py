"""Where metrics go while a run trains."""

from icr.tracking.csv import CsvTracking, joined_metrics, write_metrics
from icr.tracking.tracker import NoTracking, Tracker
from icr.tracking.wandb import WandbTracking

__all__ = ["CsvTracking", "NoTracking", "Tracker", "WandbTracking", "joined_metrics", "write_metrics"]
