"""What settings are refused for. Every check raises ValueError with the setting's name first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real


def require_number(
    name: str,
    value: object,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
    otherwise: str = "",
) -> None:
    """Refuse what is not a finite real number (a bool is not one) within the bounds.

    Args:
        least, most: bounds that the number may have itself.
        above, below: bounds that it may not have.
        otherwise: what else the setting may be, for the message, such as `or null`.
    """
    otherwise = f" {otherwise}" if otherwise else ""
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number{otherwise}, got {value!r}")
    number = float(value)
    bounds = {"above": above, "at least": least, "below": below, "at most": most}
    within = (
        above is None or number > above,
        least is None or number >= least,
        below is None or number < below,
        most is None or number <= most,
    )
    if not all(within):
        allowed = " and ".join(f"{words} {bound}" for words, bound in bounds.items() if bound is not None)
        raise ValueError(f"{name} must be {allowed}{otherwise}, got {value!r}")


def require_integer(name: str, value: object) -> None:
    """Refuse what is not an integer (a bool is not one)."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{name} must be an integer, got {value!r}")


def require_counts(settings: object, *names: str, otherwise: str = "") -> None:
    """Refuse attributes of `settings` that are not integers of at least 1.

    Args:
        otherwise: what else they may be, for the message, such as `or null`.
    """
    for name in names:
        value = getattr(settings, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            otherwise = f" {otherwise}" if otherwise else ""
            raise ValueError(f"{name} must be a whole number of at least 1{otherwise}, got {value!r}")


def require_one_of(name: str, value: object, choices: Sequence[str]) -> None:
    """Refuse what is none of `choices`, which the message lists."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")


def require_either(name: str, value: object, *choices: str) -> None:
    """Refuse what is none of `choices`, which the message spells out: `a or b`."""
    if value not in choices:
        raise ValueError(f"{name} must be {', '.join(choices[:-1])} or {choices[-1]}, got {value!r}")
