"""What a user can put right. Each message is one paragraph: what is wrong, where, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


class ICRError(Exception):
    """Base of the errors that the command line prints as a paragraph, without a traceback."""


class ConfigError(ICRError):
    """A setting is unknown, mistyped, out of range, or does not fit another one."""


class DataError(ICRError):
    """A prompt, demonstration or preference file is missing, malformed or inconsistent."""


class ModelError(ICRError):
    """A model or tokenizer cannot be loaded or cannot be used for this run."""


class RunError(ICRError):
    """The run directory cannot be used, or the run cannot go on (no pairs, non-finite numbers)."""


class JudgeError(ICRError):
    """A judge cannot be asked, or not any more; what it has answered is kept."""


class BudgetError(JudgeError):
    """A budget is used up before everything was asked; what was answered is kept."""


class Reported(Exception):
    """A job of a sweep has failed, and its paragraph is printed."""


def near(word: str, words: Iterable[str], prefix: str = "") -> str:
    """A hint at the most similar of `words`, or nothing."""
    match = difflib.get_close_matches(word, [known for known in words if known != word], n=1, cutoff=0.5)
    return f" Did you mean {prefix}{match[0]}?" if match else ""


def near_folder(path: str | Path) -> str:
    """A hint at the most similar folder beside the missing `path`, or nothing."""
    path = Path(path)
    beside = [folder.name for folder in path.parent.iterdir() if folder.is_dir()] if path.parent.is_dir() else []
    return near(path.name, beside, f"{path.parent}/")


def one_line(text: object, limit: int = 300) -> str:
    """What a library says of its trouble, as one line of at most `limit` characters, for a paragraph of ours."""
    line = " ".join(str(text).split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"
