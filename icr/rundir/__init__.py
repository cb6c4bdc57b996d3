"""The run directory: the only room that spells its file names."""

from typing import TYPE_CHECKING

from icr.rundir.layout import Layout
from icr.rundir.reader import Run, open_run
from icr.rundir.results import ModelResult, RoundCounts, Summary
from icr.rundir.summary import count_rounds, summarise
from icr.rundir.tables import PairTable, ResponseTable, Table

if TYPE_CHECKING:
    from icr.rundir.store import RunDirectory, write_json

__all__ = [
    "Layout",
    "ModelResult",
    "PairTable",
    "ResponseTable",
    "RoundCounts",
    "Run",
    "RunDirectory",
    "Summary",
    "Table",
    "count_rounds",
    "open_run",
    "summarise",
    "write_json",
]


def __getattr__(name: str) -> object:
    """What writes a run directory is imported when it is asked for: it needs torch, and readers do not."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from icr.rundir import store

    return getattr(store, name)
