"""Folders of parallel prompt files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest


def row(id, text) -> str:
    return json.dumps({"instruction_id": id, "instruction": text}, ensure_ascii=False)


@pytest.fixture
def folder(tmp_path) -> Callable[..., Path]:
    """`folder(en={"1": "Name a river."}, sw=[…])`: a file per language, of texts by id or of lines as they are."""

    def write(**languages) -> Path:
        for code, rows in languages.items():
            lines = [row(*item) for item in rows.items()] if isinstance(rows, dict) else rows
            (tmp_path / f"{code}.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return tmp_path

    return write
