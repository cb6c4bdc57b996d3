"""Where servers are, and the keys that they want."""

from __future__ import annotations

import os

import httpx

from icr.errors import ConfigError


def require_address(name: str, url: str) -> None:
    """Refuse an address that cannot be one, or that holds a password, without saying it.

    Args:
        name: of the setting, for the message.

    Raises:
        ValueError: naming it.
    """
    shown = str(url).rpartition("@")[2]
    try:
        parsed = httpx.URL(url)
        parsed.host.encode("idna")
    except (httpx.InvalidURL, TypeError, UnicodeError) as error:
        raise ValueError(f"{name}: {shown!r} is not an address such as http://localhost:8000") from error
    if parsed.userinfo or parsed.query or parsed.fragment:
        raise ValueError(f"{name}: the address of {parsed.host} holds a password; put a key in a variable instead")
    if parsed.scheme not in ("http", "https") or not parsed.host or not 0 < (parsed.port or 80) < 2**16:
        raise ValueError(f"{name}: {shown!r} is not an address such as http://localhost:8000")


def key_of(variable: str) -> str:
    """The key in an environment variable; empty where there is none.

    Raises:
        ConfigError: no request could carry it.
    """
    key = os.environ.get(variable, "").strip()
    if not key.isascii() or not key.isprintable():
        raise ConfigError(f"The key in the variable {variable} has characters that no header can have.")
    return key
