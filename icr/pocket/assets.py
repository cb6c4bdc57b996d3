"""Where the shipped models lie."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from icr.errors import ModelError

NAMES = ("blank", "sft", "dpo_en", "dpo_en_long")


def folder(name: str) -> Path:
    """Folder of a shipped model: `blank` (tokenizer and configuration alone), `sft` (`π_I`), `dpo_en` (`π_0`) or
    `dpo_en_long` (`π_0` of labels that like length).

    Raises:
        ModelError: there is no such model.
    """
    path = Path(str(files("icr.pocket"))) / "assets" / name
    if name not in NAMES or not path.is_dir():
        raise ModelError(
            f"The pocket world ships no model {name!r}; its models are {', '.join(NAMES)}, folders of {path.parent}."
        )
    return path
