"""What went wrong, in one paragraph: errors of Hydra that a user of the command line can put right."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from hydra.errors import OverrideParseException

from icr.errors import near, one_line

LAUNCHERS = {"joblib": "sweeps", "submitit_slurm": "slurm", "submitit_local": "slurm", "ray": "ray"}
"""Launchers of Hydra's plugins, and the extra of icr that installs each."""

SWEEPERS = {"optuna": "optuna"}
"""Sweepers of Hydra's plugins, in the same way."""

HINTS = {"langs": " Languages by their codes are a list: langs=[en,es]."}
"""What else a group takes, where something is given that is no option of it."""


FEW = 4
"""Choices that are worth repeating; those that come from a run are a dozen and more."""


def composition_error(
    error: Exception, conf: Path, chosen: Sequence[str], keys: Callable[[], Sequence[str]], command: str = "icr run"
) -> str:
    """What the command line got wrong, with the nearest valid key or option.

    Args:
        error: raised by Hydra while it composed the configuration in `conf`.
        chosen: what the command line chooses for groups, such as `loss=kto`.
        keys: every key of the configuration with these, dotted.
        command: which lists them.
    """
    text = " ".join(" ".join(str(part) for part in (error, error.__cause__ or "")).split())
    if match := re.search(r"Could not override '([^']+)'", text):
        key = match.group(1)
        given = f" with {' '.join(chosen)}" if 0 < len(chosen) <= FEW else ""
        hint = near(key, [known for known in keys() if not key.startswith(f"{known}.")])
        return f"{key} is not a setting{given}.{hint} `{command} --cfg job` lists them all."
    if match := re.search(r"Could not find '([^']+)'", text):
        group, _, option = match.group(1).rpartition("/")
        plugins = {"hydra/launcher": LAUNCHERS, "hydra/sweeper": SWEEPERS}.get(group, {})
        if option in plugins:
            return f"{group}={option} needs its plugin: pip install 'icr[{plugins[option]}]'."
        names = options(conf, group)
        hint = near(option, names) + HINTS.get(group, "")
        listed = f" Options: {', '.join(names)}." if names else ""
        return f"{group}={option}: there is no such option.{hint}{listed}"
    if match := re.search(r"Ambiguous value for argument '((.+?)=(.*?))'", text):
        given, group, values = match.groups()
        return f"{given}: several values are a sweep, with -m, or a list, as in {group}=[{values}]."
    if "Config group override must be" in text or "override_grammar" in text:
        given = f"{one_line(error.override, 80)}: " if isinstance(error, OverrideParseException) else ""
        return f"{given}Overrides are written key=value, and groups take the name of an option, as in loss=dpo. {text}"
    if isinstance(error, RecursionError):
        return "The settings are nested too deeply."
    return one_line(text, 600)


def options(conf: Path, group: str) -> list[str]:
    """Names of a group's options; files that begin with `_` are what options are built on."""
    return sorted(path.stem for path in (conf / group).glob("[!_]*.yaml"))
