"""Strict reading of JSON-lines files: a bad line is an error that names it, never a row skipped."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from icr.errors import DataError


def read_jsonl(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield `("file, line N", object)` for every non-blank line.

    Raises:
        DataError: the file does not exist, is not UTF-8, or a line is not a JSON object.
    """
    if not path.is_file():
        raise DataError(f"There is no file {path}.")
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            where = f"{path}, line {number}"
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
                if not line:
                    continue
                row = json.loads(line)
            except UnicodeDecodeError as error:
                raise DataError(f"{where}: not UTF-8 ({error.reason} at byte {error.start}).") from error
            except json.JSONDecodeError as error:
                raise DataError(f"{where}: not valid JSON ({error.msg} at column {error.colno}).") from error
            except RecursionError as error:
                raise DataError(f"{where}: its lists and objects are nested too deeply.") from error
            except ValueError as error:
                raise DataError(f"{where}: it holds a number of thousands of digits.") from error
            if not isinstance(row, dict):
                raise DataError(f"{where}: expected a JSON object, found {type(row).__name__}.")
            yield where, row


def text_field(where: str, row: dict[str, Any], field: str) -> str:
    """The non-blank string at `field`.

    Raises:
        DataError: it is missing, not a string, or blank.
    """
    if field not in row:
        raise DataError(f"{where}: the field {field!r} is missing (found: {', '.join(map(str, row)) or 'none'}).")
    value = row[field]
    if not isinstance(value, str):
        raise DataError(f"{where}: the field {field!r} must be a string, found {type(value).__name__}.")
    if not value.strip():
        raise DataError(f"{where}: the field {field!r} is empty.")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise DataError(f"{where}: the field {field!r} holds half of a surrogate pair, which is no character.")
    return value


def id_field(where: str, row: Mapping[str, object], field: str) -> str:
    """The id at `field`, a number or a string, as a string.

    Raises:
        DataError: it is missing, something else, or empty.
    """
    id = row.get(field)
    if isinstance(id, bool) or not isinstance(id, (int, str)) or id == "":
        raise DataError(f"{where}: the field {field!r} must be a number or a string, found {id!r}.")
    return str(id)
