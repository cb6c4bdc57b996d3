"""The README's first commands, and what it refers to."""

from __future__ import annotations

import re

from tests.docs.pages import README, ROOT

TEXT = README.read_text("utf-8")


def test_every_make_target_exists():
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = set(re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)", TEXT, re.MULTILINE))
    assert {"demo", "test"} <= {a or b for a, b in named} <= targets


def test_the_two_commands_come_first():
    first = re.search(r"^```\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    assert first
    assert re.findall(r"^make (\w+)", first[1], re.MULTILINE) == ["demo", "test"]


def test_it_is_short():
    assert len(TEXT.splitlines()) <= 120
