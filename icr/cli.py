"""The command `icr <word> …`. A word's module is imported only when it is called."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import NamedTuple

from icr import __version__
from icr.errors import ConfigError, near
from icr.terminal import guarded


class Word(NamedTuple):
    """A command of its own.

    Attributes:
        module: has a `main(arguments) -> int`, and is a command by itself with `python -m`.
        line: what it does.
    """

    module: str
    line: str


WORDS = {
    "run": Word("icr.run.__main__", "sample, score, pair and train, round after round; -m sweeps"),
    "report": Word("icr.report.__main__", "print the tables of a run or a sweep and write its page"),
    "evaluate": Word("icr.evaluate.__main__", "measure models: win rates by a judge, and other benchmarks"),
    "doctor": Word("icr.doctor.__main__", "examine models and prompts, and plan memory and hours, before a run"),
    "export": Word("icr.export.__main__", "write a model of a run as a folder to share, and push it"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Call a word with the arguments after it, and return its exit code (`icr.terminal.Exit`)."""
    word, *rest = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if word in ("-h", "--help"):
        print(usage())
        return 0
    if word == "--version":
        print(f"icr {__version__}")
        return 0
    return guarded(lambda: _call(word, rest))


def usage() -> str:
    """What `icr --help` prints."""
    words = "\n".join(f"  {name:<9} {word.line}" for name, word in WORDS.items())
    return (
        "usage: icr <word> …\n\n"
        "Implicit Cross-Lingual Rewarding: teaches an English-aligned model's preferences to other languages.\n\n"
        f"{words}\n\n"
        "`icr <word> --help` says more, and `icr --version` which version this is."
    )


def _call(word: str, arguments: Sequence[str]) -> int:
    if "=" in word:
        raise ConfigError(f"{word!r} is a setting, and settings follow a word, as in icr run {word}.")
    if word not in WORDS:
        raise ConfigError(f"{word!r} is not a word of icr.{near(word, WORDS)} Words: {', '.join(WORDS)}.")
    status: int = importlib.import_module(WORDS[word].module).main(arguments)
    return status
