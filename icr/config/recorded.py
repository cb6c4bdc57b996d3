"""What a command line chose and set, kept in a run directory, so that its configuration can be composed again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from icr.config.command import as_overrides
from icr.errors import RunError

OWN = ("run.dir", "controls", "cluster", "logger")
"""What a run alone has a use for."""


def recorded(choices: Mapping[str, str | None], *overrides: Sequence[str]) -> list[str]:
    """The overrides of a run: the option of every group, and whatever else was set.

    Args:
        choices: option of each group, as Hydra knows them.
        overrides: of the command line, and those that come in the place of it.
    """
    found = [f"{group}={option}" for group, option in choices.items() if option and _plain(group)]
    for later in overrides:
        chosen = {_key(override) for override in later}
        found = [override for override in found if _key(override) not in chosen] + list(later)
    return [override for override in found if _key(override) not in OWN]


def write_overrides(path: Path, overrides: Sequence[str]) -> None:
    """Write them, one a line."""
    path.write_text(yaml.safe_dump(list(overrides), allow_unicode=True, width=10**6), encoding="utf-8")


def with_overrides(path: Path, own: Sequence[str]) -> list[str]:
    """The overrides of a run, and those of another command in the place of what they are about.

    A group that is chosen anew takes nothing of what the run has set in it.

    Raises:
        RunError: the run has no such file, or it is none.
    """
    if not path.is_file():
        raise RunError(f"{path.parent} has no {path.name}, which says what it was made with: give its models by hand.")
    try:
        before = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        before = None
    if not isinstance(before, list) or not all(isinstance(override, str) for override in before):
        raise RunError(f"{path} is damaged: it should hold a list of overrides. Give the run's models by hand.")
    chosen = {_key(override) for override in as_overrides(own)}
    return [*(override for override in before if not _replaced(_key(override), chosen)), *own]


def _plain(group: str) -> bool:
    return not group.startswith("hydra/") and "@" not in group


def _replaced(key: str, chosen: set[str]) -> bool:
    return key in chosen or key.partition(".")[0] in chosen


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+~")
