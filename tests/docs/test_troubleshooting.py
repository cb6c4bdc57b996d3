"""What the page on troubleshooting quotes is what the code says."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
SAID = [
    phrase
    for table in re.split(r"^\| what is ", PAGE, flags=re.MULTILINE)[1:]
    if table.startswith("said")
    for cell in re.findall(r"^\| (.*?) \|", table, re.MULTILINE)
    for phrase in re.findall(r"`([^`]+)`", cell)
]


def messages(path: Path) -> Iterator[str]:
    """Every text in a file of Python, `…` for what is put into it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@pytest.fixture(scope="module")
def everything():
    return [message for path in (ROOT / "icr").rglob("*.py") for message in messages(path)]


@pytest.mark.parametrize("phrase", SAID)
def test_the_code_says_so(phrase, everything):
    pattern = re.compile(".*".join(map(re.escape, phrase.split("…"))), re.DOTALL)
    assert any(pattern.search(message) for message in everything)


def test_there_are_quotations():
    assert len(SAID) > 20
