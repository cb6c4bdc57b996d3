"""Tables in Markdown, and their place in a page whose prose is written by hand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of these cells."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def between(text: str, tables: str, writer: str) -> str:
    """The page with these tables between its two marks, which are put at its end where it has none.

    Args:
        writer: file that writes the tables, named in the first mark.
    """
    begin, end = f"<!-- tables: begin (written by {writer}) -->", "<!-- tables: end -->"
    if begin not in text:
        text += f"\n{begin}\n{end}\n"
    return re.sub(f"{re.escape(begin)}.*{re.escape(end)}", lambda _: f"{begin}\n{tables}\n{end}", text, flags=re.S)
