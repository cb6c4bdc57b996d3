"""The run directory: the only room that spells its file names."""

from icr.rundir.key import Key, difference
from icr.rundir.lock import held
from icr.rundir.reader import Run, open_run
from icr.rundir.store import RunDirectory
from icr.rundir.tables import PairTable, ResponseTable, Table

__all__ = ["Key", "PairTable", "ResponseTable", "Run", "RunDirectory", "Table", "difference", "held", "open_run"]
