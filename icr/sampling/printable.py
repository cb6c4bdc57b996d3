"""What engines say, made safe to print."""

from __future__ import annotations

from icr.errors import one_line


def printable(said: object, key: str = "", limit: int = 300) -> str:
    """Text, or a document, as one line of at most `limit` characters, without control characters and our key."""
    try:
        text = str(said)
    except RecursionError:
        text = "lists in lists"
    if key:
        text = text.replace(key, "[key]")
    return one_line("".join(letter if letter.isprintable() else " " for letter in text), limit)
