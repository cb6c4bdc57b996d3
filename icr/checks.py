"""What settings are refused for. Every check raises ValueError with the setting's name first."""

from __future__ import annotations

from collections.abc import Sequence

MOST = 2**31 - 1
"""Largest count: torch and its kernels count in 32 bits in places."""

LARGEST = 3.4e38
"""Largest number: float32 holds no larger one."""


def shown(value: object) -> str:
    """A value for a message, cut where it is long. Python writes out no integer of thousands of digits."""
    if isinstance(value, int) and abs(value) >= 10**40:
        return f"an integer of {value.bit_length()} bits"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


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
    """Refuse what is not a finite real number (a bool is not one) within the bounds, or is too large for float32.

    Args:
        least, most: bounds that the number may have itself.
        above, below: bounds that it may not have.
        otherwise: what else the setting may be, for the message, such as `or null`.
    """
    otherwise = f" {otherwise}" if otherwise else ""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -LARGEST <= value <= LARGEST:
        raise ValueError(f"{name} must be a finite number{otherwise}, got {shown(value)}")
    bounds = {"above": above, "at least": least, "below": below, "at most": most}
    within = (
        above is None or value > above,
        least is None or value >= least,
        below is None or value < below,
        most is None or value <= most,
    )
    if not all(within):
        allowed = " and ".join(f"{words} {bound}" for words, bound in bounds.items() if bound is not None)
        raise ValueError(f"{name} must be {allowed}{otherwise}, got {shown(value)}")


def require_integer(name: str, value: object) -> None:
    """Refuse what is not an integer (a bool is not one) of 64 bits, as seeds are."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{name} must be an integer, got {shown(value)}")
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"{name} must be within 64 bits, got {shown(value)}")


def require_counts(settings: object, *names: str, otherwise: str = "") -> None:
    """Refuse attributes of `settings` that are not integers of at least 1, or are more than anything is counted to.

    Args:
        otherwise: what else they may be, for the message, such as `or null`.
    """
    for name in names:
        value = getattr(settings, name)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST:
            bounds = f"at most {MOST}" if isinstance(value, int) and value > MOST else "at least 1"
            otherwise = f" {otherwise}" if otherwise else ""
            raise ValueError(f"{name} must be a whole number of {bounds}{otherwise}, got {shown(value)}")


def require_one_of(name: str, value: object, choices: Sequence[str]) -> None:
    """Refuse what is none of `choices`, which the message lists."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")


def require_either(name: str, value: object, *choices: str) -> None:
    """Refuse what is none of `choices`, which the message spells out: `a or b`."""
    if value not in choices:
        raise ValueError(f"{name} must be {', '.join(choices[:-1])} or {choices[-1]}, got {value!r}")
