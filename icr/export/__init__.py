"""Sharing a model of a run: merged, converted, with a card, and pushed to a hub on demand."""

from icr.export.card import model_card
from icr.export.folder import FinishedRun, finished_run
from icr.export.hub import check_login, push
from icr.export.weights import export_weights

__all__ = ["FinishedRun", "check_login", "export_weights", "finished_run", "model_card", "push"]
