"""Docstrings for the reference: a line for several names, as in `id, language: of the prompt`, becomes one per name."""

from __future__ import annotations

import re

import griffe

SEVERAL = re.compile(r"^    (\w+(?:, \w+)+): (.*(?:\n     .*)*)$", re.MULTILINE)


class OneNamePerLine(griffe.Extension):
    """Rewrites every docstring before it is parsed."""

    def on_object(self, *, obj: griffe.Object, **kwargs: object) -> None:
        """Split the object's docstring."""
        if obj.docstring:
            obj.docstring.value = SEVERAL.sub(_split, obj.docstring.value)


def _split(match: re.Match[str]) -> str:
    return "\n".join(f"    {name}: {match[2]}" for name in match[1].split(", "))
