"""What a check found."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from icr.errors import ICRError

PASS, WARN, FAIL = "pass", "warn", "fail"


@dataclass(frozen=True)
class Finding:
    """One line of the examination.

    Attributes:
        level: `pass`, `warn` or `fail`.
        name: of the check.
        seen: what was found, with its figures.
        advice: what to do; empty for a pass.
    """

    level: str
    name: str
    seen: str
    advice: str = ""


def passed(name: str, seen: str) -> Finding:
    """A finding that all is well."""
    return Finding(PASS, name, seen)


def warned(name: str, seen: str, advice: str) -> Finding:
    """A finding that is worth a look; a run would work."""
    return Finding(WARN, name, seen, advice)


def failed(name: str, seen: str, advice: str) -> Finding:
    """A finding for which a run would fail, or its result be worthless."""
    return Finding(FAIL, name, seen, advice)


def findings_of(name: str, check: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """What `check` finds; where it is refused with one of our own errors, that is the finding."""
    try:
        return list(check())
    except ICRError as error:
        return [failed(name, str(error), "")]
