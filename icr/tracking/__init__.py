"""Where metrics go while a run trains."""

from icr.tracking.about import About, about
from icr.tracking.alerts import Alerts
from icr.tracking.axis import OneAxisTracking, RoundLogger
from icr.tracking.csv import CsvTracking, joined_metrics, write_metrics
from icr.tracking.figures import accuracy_figures, model_figures, pair_figures
from icr.tracking.others import MlflowTracking, TensorBoardTracking
from icr.tracking.tracker import NoTracking, Tracker
from icr.tracking.wandb import WandbTracking

__all__ = [
    "About",
    "Alerts",
    "CsvTracking",
    "MlflowTracking",
    "NoTracking",
    "OneAxisTracking",
    "RoundLogger",
    "TensorBoardTracking",
    "Tracker",
    "WandbTracking",
    "about",
    "accuracy_figures",
    "joined_metrics",
    "model_figures",
    "pair_figures",
    "write_metrics",
]
