"""What a run shows: tables for the terminal, figures, and the page `report.html`. Imported when it is asked for."""

from typing import TYPE_CHECKING

from icr.lazy import lazily

if TYPE_CHECKING:
    from icr.report.page import headline, write_report
    from icr.report.picture import write_picture
    from icr.report.tables import counts_table, print_tables, results_table
    from icr.rundir.reader import open_run

__all__ = ["counts_table", "headline", "open_run", "print_tables", "results_table", "write_picture", "write_report"]

__getattr__ = lazily(
    __name__,
    {
        "icr.report.page": ["headline", "write_report"],
        "icr.report.picture": ["write_picture"],
        "icr.report.tables": ["counts_table", "print_tables", "results_table"],
        "icr.rundir.reader": ["open_run"],
    },
)
