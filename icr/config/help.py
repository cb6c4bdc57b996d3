"""What `--help` shows: groups and settings, with the comments of `conf/` beside them, as text of 100 columns."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from icr.config.messages import options

WIDTH = 100
LINE = re.compile(r"^(?P<indent>[ -]*)(?P<key>[\w]+):(?P<value>.*?)(?:(?:^| )# (?P<comment>.*))?$")


def groups(conf: Path) -> str:
    """Each group with its options and what it is for."""
    purpose = {key: text for path in conf.glob("*.yaml") for key, text in _comments(path)}
    folders = sorted(path.name for path in conf.iterdir() if path.is_dir())
    rows = [(group, " ".join(options(conf, group)), purpose.get(f"defaults.{group}", "")) for group in folders]
    return "\n".join(f"  {group:<16}{_beside(names, about, 60, 18)}" for group, names, about in rows)


def settings(conf: Path, values: Mapping[str, Any], chosen: Mapping[str, str]) -> str:
    """Each setting as the command line takes it, and its comment.

    Args:
        values: settings by dotted key, interpolations as they are written.
        chosen: option of each group.
    """
    comments = {key: text for path in conf.glob("*.yaml") for key, text in _comments(path)}
    for group, option in chosen.items():
        comments |= _option_comments(conf / group / f"{option}.yaml", group)
    lines = []
    for key, value in values.items():
        about = comments.get(key, "")
        if key.rpartition(".")[2].startswith("_") or (not about and str(value).startswith("${")):
            continue
        lines.append(f"  {_beside(f'{key}={_written(value)}', about, 40, 2)}")
    return "\n".join(lines)


def _option_comments(path: Path, group: str) -> dict[str, str]:
    """Comments of an option, and of the one that it is built on."""
    if not path.is_file():
        return {}
    text = path.read_text(encoding="utf-8")
    base = re.search(r"^defaults: \[(\w+)\]", text, re.MULTILINE)
    inherited = _option_comments(path.with_stem(base[1]), group) if base else {}
    placed = "" if text.startswith("# @package _global_") else f"{group.replace('/', '.')}."
    return inherited | {f"{placed}{key}": comment for key, comment in _comments(path)}


def _comments(path: Path) -> Iterator[tuple[str, str]]:
    """Dotted key and comment of each line that has one."""
    parents: list[tuple[int, str]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not (match := LINE.match(line)):
            continue
        indent = len(match["indent"])
        parents = [parent for parent in parents if parent[0] < indent]
        parents.append((indent, match["key"]))
        if match["comment"]:
            yield ".".join(name for _, name in parents), match["comment"].strip()


def _written(value: Any) -> str:
    if isinstance(value, list):
        return f"[{','.join(map(str, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = textwrap.shorten(str(value), 50, placeholder=" …")
    return f"'{text}'" if not text or " " in text else text


def _beside(left: str, right: str, column: int, margin: int) -> str:
    """`left`, and `right` from `column` on, wrapped; on lines of its own where `left` is too long."""
    if not right:
        return left
    lines = textwrap.wrap(right, WIDTH - column - 2)
    pad = " " * (column - margin)
    if len(left) > column - margin - 2:
        left = textwrap.fill(left, WIDTH - margin, subsequent_indent=" " * margin)
        return "\n".join([left, *(" " * margin + pad + line for line in lines)])
    return "\n".join([left.ljust(len(pad)) + lines[0], *(" " * margin + pad + line for line in lines[1:])])
