"""Reading and writing what a run directory is made of: tables and documents."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from icr.errors import RunError, one_line

REMEDY = "Delete it, and the same icr run command makes it again."
"""What to do about a file that cannot be used."""


def read_frame(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame | None:
    """A Parquet file, cut down to those of `columns` that it has; `None` if it does not exist.

    Raises:
        RunError: it is not Parquet.
    """
    if not path.is_file():
        return None
    try:
        present = pq.read_schema(path).names
        frame: pd.DataFrame = pq.read_table(path, columns=[c for c in columns or present if c in present]).to_pandas()
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read as Parquet ({one_line(error)}). {REMEDY}") from error
    return frame


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object, empty if the file does not exist.

    Raises:
        RunError: it is not JSON, or not an object.
    """
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunError(f"{path} is not JSON ({one_line(error)}). {REMEDY}") from error
    if not isinstance(content, dict):
        raise RunError(f"{path} should hold a JSON object, not a {type(content).__name__}. {REMEDY}")
    return content


def without_nan(value: Any) -> Any:
    """`value` with null for every number that could not be measured: JSON has neither NaN nor infinity."""
    if isinstance(value, Mapping):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
