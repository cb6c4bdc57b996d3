"""The run directory: the only room that spells its file names."""

from icr.rundir.reader import Run, open_run
from icr.rundir.store import RunDirectory, write_json
from icr.rundir.tables import PairTable, ResponseTable, Table

__all__ = [
    "PairTable",
    "ResponseTable",
    "Run",
    "RunDirectory",
    "Table",
    "open_run",
    "write_json",
]
