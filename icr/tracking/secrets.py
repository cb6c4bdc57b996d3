"""Settings as others may see them: without what is secret, in whatever key, list or address it stands."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

HIDDEN = "<hidden>"
"""Stands in the place of a secret."""

WORDS = {
    *("token", "password", "passwd", "passphrase", "secret", "secrets", "credential", "credentials", "auth"),
    *("authorization", "bearer", "cookie", "cookies", "header", "headers", "apikey"),
}
"""A key with one of them as its last word holds a secret: `hf_token` does, `max_tokens` and `token_clip` do not."""

KEYS = {"api", "access", "private", "secret", "account", "auth", "subscription"}
"""So does one that ends in one of them and `key`."""

VALUES = re.compile(
    r"(?i:^(bearer|basic) \S{6,}$)|\b(sk|pk|rk|hf|ghp|gho|ghs|glpat|xox[a-z])[-_][\w-]{16,}|\bAKIA\w{16}\b"
)
"""What tells a secret by itself, as the providers of keys write them."""

SHORTEST = 8
"""Fewest characters of a variable's value that is looked for in settings: a shorter one may stand there by chance."""


def without_secrets(settings: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of nested settings with `<hidden>` in the place of secrets.

    A secret is the text of a key whose name says so (`api_key`, `hf_token`, `password`, `headers`, but not
    `api_key_env`, which names a variable), and all below it; what looks like a provider's key; and the value of an
    environment variable with such a name. Overrides in lists, such as those of controls, are looked at like keys.
    Addresses lose their user and password, and what is secret in their query.
    """
    known = [value for name, value in os.environ.items() if is_secret(name) and len(value) >= SHORTEST]
    return {name: _cleaned(value, name, known) for name, value in settings.items()}


def is_secret(key: str) -> bool:
    """Whether the name of a key or a variable says that its value is secret."""
    return any(_names_a_secret(part) for part in key.split("."))


def _names_a_secret(part: str) -> bool:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", part)
    *before, last = re.split(r"[\W_]+", words.lower().strip(" _-")) or [""]
    return last in WORDS or (last == "key" and bool(before) and before[-1] in KEYS)


def _cleaned(value: object, key: str, known: list[str], hide: bool = False) -> Any:
    hide = hide or is_secret(key)
    if isinstance(value, Mapping):
        return {str(name): _cleaned(item, str(name), known, hide) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_cleaned(item, "", known, hide) for item in value]
    if isinstance(value, str) and value:
        return HIDDEN if hide else _text(value, known)
    # An unquoted key of digits alone is a number to YAML.
    return HIDDEN if hide and isinstance(value, (int, float)) and not isinstance(value, bool) else value


def _holds_a_secret(override: str) -> bool:
    """Whether a dictionary within an override, such as `judge={api_key: x}`, has a key that names a secret."""
    return any(is_secret(key) for key in re.findall(r"[{,]\s*['\"]?([\w.-]+)['\"]?\s*:", override))


def _text(value: str, known: list[str]) -> str:
    name, equals, _ = value.partition("=")
    if equals and re.fullmatch(r"[\w.@/+~-]+", name) and (is_secret(name) or _holds_a_secret(value)):
        return f"{name}={HIDDEN}"
    for secret in known:
        value = value.replace(secret, HIDDEN)
    value = VALUES.sub(HIDDEN, value)
    value = re.sub(r"(?<=://)[^\s?#]+@", "", value)
    return re.sub(r"([?&;]([\w.-]+)=)[^&#;\s]+", lambda m: f"{m[1]}{HIDDEN}" if is_secret(m[2]) else m[0], value)
