"""Sharing a model of a run: merged, converted, with a card, and pushed to a hub. Imported when it is asked for."""

from typing import TYPE_CHECKING

from icr.lazy import lazily

if TYPE_CHECKING:
    from icr.export.card import model_card
    from icr.export.folder import FinishedRun, finished_run
    from icr.export.hub import check_login, push
    from icr.export.weights import export_weights

__all__ = ["FinishedRun", "check_login", "export_weights", "finished_run", "model_card", "push"]

__getattr__ = lazily(
    __name__,
    {
        "icr.export.card": ["model_card"],
        "icr.export.folder": ["FinishedRun", "finished_run"],
        "icr.export.hub": ["check_login", "push"],
        "icr.export.weights": ["export_weights"],
    },
)
