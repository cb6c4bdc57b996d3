"""The page of a sweep: all of its jobs side by side, with the swept keys as axes.

runs.py        runs that were made one by one, as a sweep
jobs.py        what each job has left, and the swept keys
points.py      means and intervals over seeds
sentences.py   what a plot shows, in words
grids.py       tables, for the page and the terminal
series.py      panels, axes and series of a plot over a swept key
win_rates.py   win rates over each swept key, and by language
progress.py    training curves, and rewards and lengths of the pairs
alarms.py      what went wrong, and where
page.py        the page and the table of all figures
"""

from typing import TYPE_CHECKING

from icr.lazy import lazily

if TYPE_CHECKING:
    from icr.report.sweep.grids import print_sweep
    from icr.report.sweep.page import write_sweep
    from icr.report.sweep.runs import as_sweep

__all__ = ["as_sweep", "print_sweep", "write_sweep"]

__getattr__ = lazily(
    __name__,
    {
        "icr.report.sweep.grids": ["print_sweep"],
        "icr.report.sweep.page": ["write_sweep"],
        "icr.report.sweep.runs": ["as_sweep"],
    },
)
