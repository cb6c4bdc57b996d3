"""Settings against the signature of what they configure: unknown keys and wrong types, before anything is made."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any

from icr.checks import shown
from icr.errors import ConfigError, near

KINDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "bool": ("true or false", lambda value: isinstance(value, bool)),
    "int": ("a whole number", lambda value: isinstance(value, int) and not isinstance(value, bool)),
    "float": ("a number", lambda value: isinstance(value, Real) and not isinstance(value, bool)),
    "str": ("a text", lambda value: isinstance(value, str)),
    **dict.fromkeys(
        ("list", "tuple", "Sequence"), ("a list, as in [a,b]", lambda value: isinstance(value, (list, tuple)))
    ),
    **dict.fromkeys(("dict", "Mapping"), ("a group of settings", lambda value: isinstance(value, Mapping))),
    "None": ("null", lambda value: value is None),
}
"""Annotations that are checked: what to call them, and the check. Of anything else the class itself must judge."""


def signature(target: Callable[..., object]) -> dict[str, str] | None:
    """Annotation of each keyword that `target` takes, `""` where it has none; None where it takes any keyword.

    Raises:
        ValueError: `target` does not say what it takes, as few but the built-in ones of Python do.
        TypeError: `target` cannot be called.
    """
    parameters = inspect.signature(target).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return {parameter.name: _annotation(parameter.annotation) for parameter in parameters}


def check(key: str, values: Mapping[str, Any], expected: Mapping[str, str] | None, owner: str = "") -> None:
    """Compare the settings below `key` with their expected annotations (None: anything goes).

    Args:
        key: dotted path, empty for the top.
        owner: what takes the settings, for the message.

    Raises:
        ConfigError: a setting is unknown (with the nearest one that is known), or of the wrong type.
    """
    if expected is None:
        return
    prefix = f"{key}." if key else ""
    for name, value in values.items():
        if name.startswith("_"):
            continue
        if name not in expected:
            of = f" of {owner}" if owner else ""
            raise ConfigError(f"{prefix}{name} is not a setting{of}.{near(name, expected, prefix)}")
        kinds = expected[name].split(" | ")
        if all(kind in KINDS for kind in kinds) and not any(KINDS[kind][1](value) for kind in kinds):
            wanted = " or ".join(KINDS[kind][0] for kind in kinds)
            raise ConfigError(f"{prefix}{name} must be {wanted}, got {shown(value)}.")
        if expected[name] and KINDS.keys().isdisjoint(kinds) and isinstance(value, (bool, int, float, list)):
            raise ConfigError(f"{prefix}{name} must be a group of settings, got {shown(value)}.")


def _annotation(annotation: object) -> str:
    """The annotation as text, without what is between brackets."""
    if annotation is inspect.Parameter.empty:
        return ""
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    while (bare := re.sub(r"\[[^\[\]]*\]", "", text)) != text:
        text = bare
    return text
