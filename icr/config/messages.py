"""What went wrong, in one paragraph: errors of other libraries that a user of the command line can put right."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from icr.errors import near

FULL = (errno.ENOSPC, errno.EDQUOT)
UNUSABLE = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG)

LAUNCHERS = {"joblib": "sweeps", "submitit_slurm": "slurm", "submitit_local": "slurm", "ray": "ray"}
"""Launchers of Hydra's plugins, and the extra of icr that installs each."""


def composition_error(error: Exception, conf: Path, chosen: Sequence[str], keys: Callable[[], Sequence[str]]) -> str:
    """What the command line got wrong, with the nearest valid key or option.

    Args:
        error: raised by Hydra while it composed the configuration in `conf`.
        chosen: what the command line chooses for groups, such as `loss=kto`.
        keys: every key of the configuration with these, dotted.
    """
    text = " ".join(" ".join(str(part) for part in (error, error.__cause__ or "")).split())
    if match := re.search(r"Could not override '([^']+)'", text):
        key = match.group(1)
        given = f" with {' '.join(chosen)}" if chosen else ""
        hint = near(key, [known for known in keys() if not key.startswith(f"{known}.")])
        return f"{key} is not a setting{given}.{hint} `python -m icr.run --cfg job` lists them all."
    if match := re.search(r"Could not find '([^']+)'", text):
        group, _, option = match.group(1).rpartition("/")
        if group == "hydra/launcher" and option in LAUNCHERS:
            return f"{group}={option} needs its plugin: pip install 'icr[{LAUNCHERS[option]}]'."
        names = options(conf, group)
        return f"{group}={option}: there is no such option.{near(option, names)} Options: {', '.join(names)}."
    if "Config group override must be" in text or "override_grammar" in text:
        return f"Overrides are written key=value, and groups take the name of an option, as in loss=dpo. {text}"
    return text


def options(conf: Path, group: str) -> list[str]:
    """Names of a group's options; files that begin with `_` are what options are built on."""
    return sorted(path.stem for path in (conf / group).glob("[!_]*.yaml"))


def system_error(error: OSError) -> str:
    """What the operating system refused, and what to do about it."""
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in FULL:
        return (
            f"The disk is full{where}: {error.strerror}. Nothing half-written is trusted; free some space, and the "
            f"same command on the same run.dir goes on from the last complete stage."
        )
    if error.errno in UNUSABLE and error.filename:
        return (
            f"{error.filename} cannot be used: {error.strerror}. If it belongs to the run directory, give one that can "
            f"be written, as in run.dir=<folder>."
        )
    return str(error)
