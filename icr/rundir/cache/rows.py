"""Tables by prompt of which others are a part: fewer prompts, and the first responses to each."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from icr.rundir import atomic, fingerprint
from icr.rundir.cache.stages import Shared, StageCache, digest, read
from icr.rundir.key import Key
from icr.rundir.parts import PromptRow
from icr.rundir.tables import Table
from icr.types import Prompt

log = logging.getLogger(__name__)

MadeOf = Mapping[tuple[str, str], Sequence[object]]
"""What the rows of a prompt are made of, row by row, such as the token ids of each response that is rewarded."""


def share(
    cache: StageCache, kind: str, key: Key, prompts: Sequence[Prompt], made_of: MadeOf | None, holds: str
) -> None:
    """Let it be known which rows the table of this stage has, which is in the cache as a whole.

    Args:
        holds: digest of the run's table. The cache may have another one by the same key: one of other responses, or of
            the machine that the run was on before.
    """
    if not key.rows or not cache.takes(key) or not (whole := read(cache.folder(kind, key))):
        return
    files = {name: held for name, held in whole.document["files"].items() if name == whole.output.name}
    if holds != digest(whole.output.name, files):
        return
    held = {_name(prompt): _made_of(prompt, made_of) for prompt in prompts}
    document = {"folder": str(cache.folder(kind, key).relative_to(cache.path)), "n": key.rows.n, "prompts": held}
    path = _tables(cache, kind, key) / f"{cache.address(kind, key)}.json"
    try:
        atomic.replace(path, lambda temporary: atomic.write_json(temporary, document))
    except OSError as error:
        log.warning("%s is not shared row by row: %s", path, error)


def known(
    cache: StageCache, kind: str, key: Key, table: Table[PromptRow], prompts: Sequence[Prompt], made_of: MadeOf | None
) -> list[PromptRow]:
    """The rows of those of these prompts for which a table in the cache has all, prompt by prompt."""
    if not key.rows or not cache.takes(key):
        return []
    found: list[PromptRow] = []
    left = {(prompt.id, prompt.language): prompt for prompt in prompts}
    for held, whole, n in _shared(cache, kind, key):
        mine = [place for place, prompt in left.items() if _covers(held, prompt, made_of, key.rows.n, n)]
        if mine:
            try:
                found += table.read_some(whole.output, set(mine), key.rows.n)
            except FileNotFoundError:
                continue  # Somebody has removed it meanwhile.
            for place in mine:
                del left[place]
    return found


def _shared(cache: StageCache, kind: str, key: Key) -> Iterator[tuple[dict[str, list[str]], Shared, int]]:
    """Tables of the same base: what they hold, where they lie, and their responses to a prompt."""
    for path in sorted(_tables(cache, kind, key).glob("*.json")):
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            whole = read(cache.path / document["folder"])
        except (OSError, ValueError, LookupError):
            continue
        if whole and cache.whole(whole):
            yield document["prompts"], whole, document["n"]


def _covers(held: Mapping[str, list[str]], prompt: Prompt, made_of: MadeOf | None, n: int, of: int) -> bool:
    name = _name(prompt)
    if name not in held or n > of:
        return False
    mine = _made_of(prompt, made_of)
    return held[name][: len(mine)] == mine


def _tables(cache: StageCache, kind: str, key: Key) -> Path:
    if not key.rows:
        raise ValueError("not a table by prompt")
    address = cache.address(kind, key.rows.base)
    return cache.path / "rows" / address[:2] / address


def _name(prompt: Prompt) -> str:
    return fingerprint.of_value([prompt.id, prompt.language, prompt.text, prompt.english, *prompt.earlier])


def _made_of(prompt: Prompt, made_of: MadeOf | None) -> list[str]:
    return [fingerprint.of_value(item) for item in made_of[prompt.id, prompt.language]] if made_of is not None else []
