"""What the import contracts in pyproject.toml cannot say of the rooms' files. `make lint` checks the contracts."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted(path.relative_to(ROOT) for path in (ROOT / "icr").rglob("*.py"))


@pytest.mark.parametrize("file", [file for file in FILES if file.parts[1] != "pocket"], ids=str)
def test_nothing_names_the_embedded_world(file):
    assert "icr.pocket" not in (ROOT / file).read_text(encoding="utf-8")


def test_imports_are_absolute():
    for file in FILES:
        for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))):
            assert not (isinstance(node, ast.ImportFrom) and node.level), file


def test_no_file_is_long():
    lengths = {str(file): len((ROOT / file).read_text(encoding="utf-8").splitlines()) for file in FILES}
    assert {file: length for file, length in lengths.items() if length > 300} == {}
