"""Dataclass rows as Parquet files that `datasets` and TRL read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import pyarrow as pa
import pyarrow.parquet as pq

from icr.types import PreferencePair, Prompt, Response

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Row = TypeVar("Row")


@dataclass(frozen=True)
class Table(Generic[Row]):
    """A Parquet file with one record per `row_type`, a dataclass."""

    row_type: type[Row]

    def write(self, path: Path, rows: Sequence[Row]) -> None:
        """Write rows in order."""
        pq.write_table(pa.Table.from_pylist([self.record(row) for row in rows]), path)

    def read(self, path: Path) -> list[Row]:
        """Rows in order."""
        if not pq.read_metadata(path).num_rows:
            return []  # a table that was written without rows has no columns either
        names = [field.name for field in fields(cast("type[DataclassInstance]", self.row_type))]
        return [self.row(record) for record in pq.read_table(path, columns=names).to_pylist()]

    def read_some(self, path: Path, prompts: Set[tuple[str, str]], n: int) -> list[Row]:
        """The rows of prompts by id and language, and of each the first `n` by their `k`."""
        names = [field.name for field in fields(cast("type[DataclassInstance]", self.row_type))]
        records = pq.read_table(path, columns=names).to_pylist()
        kept = [record for record in records if (record["id"], record["language"]) in prompts and record["k"] < n]
        return [self.row(record) for record in kept]

    def record(self, row: Row) -> dict[str, Any]:
        """What is stored of a row."""
        return asdict(cast("DataclassInstance", row))

    def row(self, record: dict[str, Any]) -> Row:
        """The row of what was stored."""
        return self.row_type(**record)


@dataclass(frozen=True)
class ResponseTable(Table[Response]):
    """Responses, with the text of the prompt and of its English original beside each."""

    prompts: Mapping[tuple[str, str], Prompt]

    def record(self, row: Response) -> dict[str, Any]:
        """The response and its prompt's texts."""
        prompt = self.prompts[row.id, row.language]
        return asdict(row) | {"prompt": prompt.text, "english": prompt.english}


ROLES = {"prompt": "user", "chosen": "assistant", "rejected": "assistant"}


class PairTable(Table[PreferencePair]):
    """Pairs, with `prompt`, `chosen` and `rejected` as conversations, as TRL's trainers take them."""

    def record(self, row: PreferencePair) -> dict[str, Any]:
        """The pair, its texts as lists of one message."""
        record = asdict(row)
        return record | {name: [{"role": role, "content": record[name]}] for name, role in ROLES.items()}

    def row(self, record: dict[str, Any]) -> PreferencePair:
        """The pair, its messages as texts."""
        return PreferencePair(**record | {name: record[name][0]["content"] for name in ROLES})
