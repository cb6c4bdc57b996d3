"""The run directory: the only room that spells its file names."""

from typing import TYPE_CHECKING

from icr.lazy import lazily

if TYPE_CHECKING:
    from icr.rundir.key import Key, difference
    from icr.rundir.layout import Layout
    from icr.rundir.lock import held, held_by_rank
    from icr.rundir.reader import Run, open_run
    from icr.rundir.results import ModelResult, RoundCounts, Summary
    from icr.rundir.store import RunDirectory
    from icr.rundir.summary import count_rounds, summarise
    from icr.rundir.tables import PairTable, ResponseTable, Table

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
    "held_by_rank",
    "open_run",
    "summarise",
]

# What writes a run directory needs torch, and readers do not; what looks at a sweep's plan needs no pandas either.
__getattr__ = lazily(
    __name__,
    {
        "icr.rundir.key": ["Key", "difference"],
        "icr.rundir.layout": ["Layout"],
        "icr.rundir.lock": ["held", "held_by_rank"],
        "icr.rundir.reader": ["Run", "open_run"],
        "icr.rundir.results": ["ModelResult", "RoundCounts", "Summary"],
        "icr.rundir.store": ["RunDirectory"],
        "icr.rundir.summary": ["count_rounds", "summarise"],
        "icr.rundir.tables": ["PairTable", "ResponseTable", "Table"],
    },
)
