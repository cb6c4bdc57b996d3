"""The run directory: the only room that spells its file names."""

import importlib
from typing import TYPE_CHECKING

from icr.rundir.layout import Layout
from icr.rundir.lock import held
from icr.rundir.reader import Run, open_run
from icr.rundir.results import ModelResult, RoundCounts, Summary
from icr.rundir.summary import count_rounds, summarise
from icr.rundir.tables import PairTable, ResponseTable, Table

if TYPE_CHECKING:
    from icr.rundir.key import Key, difference
    from icr.rundir.store import RunDirectory

WRITERS = {"Key": "key", "RunDirectory": "store", "difference": "key"}
"""Files of what writes a run directory. It needs torch and readers do not, so that it is imported when asked for."""

__all__ = [
    "Key",
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
    "difference",
    "held",
    "open_run",
    "summarise",
]


def __getattr__(name: str) -> object:
    if name not in WRITERS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{WRITERS[name]}"), name)
