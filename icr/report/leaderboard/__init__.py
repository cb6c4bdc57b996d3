"""The leaderboard of `icr evaluate`: models side by side, and their answers.

names.py     figures by the names that people know them by
grids.py     tables
sentence.py  what was found, in a sentence
plots.py     figures by language and differences, drawn
answers.py   which answers the page carries, for its browser
alpaca.py    files that alpaca_eval reads
page.py      the page, and all files of the leaderboard
"""

from typing import TYPE_CHECKING

from icr.lazy import lazily

if TYPE_CHECKING:
    from icr.report.leaderboard.grids import print_leaderboard
    from icr.report.leaderboard.page import write_leaderboard
    from icr.report.leaderboard.sentence import headline

__all__ = ["headline", "print_leaderboard", "write_leaderboard"]

__getattr__ = lazily(
    __name__,
    {
        "icr.report.leaderboard.grids": ["print_leaderboard"],
        "icr.report.leaderboard.sentence": ["headline"],
        "icr.report.leaderboard.page": ["write_leaderboard"],
    },
)
