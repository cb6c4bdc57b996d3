"""What the README and the pages of `docs/` show: commands, files to write, links."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
TUTORIALS = ROOT / "docs" / "tutorials"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(?:sh)?\n(.*?)^```", re.MULTILINE | re.DOTALL)
FILE = re.compile(r'^```\w+ title="([^"]+)"\n(.*?)^```', re.MULTILINE | re.DOTALL)
CALL = re.compile(r"(?:^|\s)(?:icr|-m icr\.)\s?(run|evaluate|doctor|export|report|dashboard)\b(.*)")


def commands(text: str) -> Iterator[tuple[str, list[str]]]:
    """`(word, arguments)` of every command in the text's blocks, such as `("run", ["loss=kto"])`."""
    for block in BLOCK.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            if match := CALL.search(line):
                yield match[1], shlex.split(match[2], comments=True)


def all_commands(word: str) -> list[list[str]]:
    """The arguments of every command with this word, on all pages, each once."""
    found = [arguments for page in PAGES for name, arguments in commands(page.read_text("utf-8")) if name == word]
    return [list(arguments) for arguments in dict.fromkeys(map(tuple, found))]


def section(text: str, heading: str) -> str:
    """The text below a heading of the second level that begins so, up to the next."""
    return re.split(r"^## ", text.partition(f"\n## {heading}")[2], maxsplit=1, flags=re.MULTILINE)[0]


def write_files(page: Path, folder: Path) -> list[Path]:
    """Write the blocks of the page that have a file name as their title into the folder."""
    written = []
    for name, text in FILE.findall(page.read_text("utf-8")):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written
