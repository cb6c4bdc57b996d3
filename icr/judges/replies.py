"""Replies on disk, by what was asked: paid for once, whichever run asks again."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from icr.judges.questions import Reply
from icr.rundir import atomic


class Damaged(Exception):
    """An entry is not what had been written."""


@dataclass(frozen=True)
class ReplyCache:
    """One small file per reply, `<2 digits>/<key>.json`, with the request beside it for whoever looks.

    A file appears whole or not at all, under a name that its content decides: any number of processes may share the
    folder, one that is killed leaves none by halves, and entries can be copied, shared and deleted one by one.

    Attributes:
        folder: made when the first reply comes.
    """

    folder: Path

    def get(self, key: str) -> Reply | None:
        """The reply to the request of this key; None where there is none.

        Raises:
            Damaged: there is one that cannot be trusted.
            OSError: it cannot be read.
        """
        try:
            entry = json.loads(self._path(key).read_bytes())
            if entry["sha256"] != digest(entry["reply"]):
                raise Damaged(self._path(key))
            return Reply(**entry["reply"], cached=True)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise Damaged(self._path(key)) from error

    def put(self, key: str, request: Mapping[str, object], reply: Reply) -> None:
        """Keep a reply: on the disk when this returns.

        Raises:
            OSError: it cannot be written.
        """
        path = self._path(key)
        kept = {name: value for name, value in asdict(reply).items() if name != "cached"}
        atomic.make_folder(path.parent)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
        try:
            atomic.write_json(temporary, {"request": request, "reply": kept, "sha256": digest(kept)})
            atomic.move(temporary, path)
        finally:
            atomic.remove(temporary)

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"


def digest(value: object) -> str:
    """Hash of anything that JSON can hold; an entry's key is that of all that decides the reply."""
    return sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
