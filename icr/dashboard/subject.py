"""Of which runs a dashboard is: their languages, their reward prompts, and the settings that differ between them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from icr.errors import ConfigError, RunError, near
from icr.rundir import Layout, open_run
from icr.rundir.sweeps import Sweep, is_sweep, open_sweep

PROJECT = "icr"
"""The W&B project that `logger=wandb` logs to, unless it is told another."""
REWARD_PROMPTS = ("crosslingual", "multilingual")
"""Whose accuracy is shown, where no run says which it measures."""


@dataclass(frozen=True)
class Subject:
    """What the panels are made for.

    Attributes:
        languages: codes.
        reward_prompts: names of those whose accuracy is measured.
        project: the W&B project that the runs log to.
        entity: user or team that the project belongs to; `""` is the login's own.
        group: W&B group of a sweep's jobs, to which the dashboard is confined; None shows all runs of the project.
        swept: keys of the configuration, such as `loss.alpha`, in which the jobs of a sweep differ.
    """

    languages: Sequence[str]
    reward_prompts: Sequence[str] = REWARD_PROMPTS
    project: str = PROJECT
    entity: str = ""
    group: str | None = None
    swept: Sequence[str] = ()

    @property
    def targets(self) -> list[str]:
        """The languages other than English."""
        return [language for language in self.languages if language != "en"]


def default_subject() -> Subject:
    """What a run is about that is given no other languages."""
    from icr.config import conf_dir  # Hydra comes with it, which a run's own settings do without.

    chosen = yaml.safe_load((conf_dir() / "langs" / "all.yaml").read_text(encoding="utf-8"))
    return Subject(languages=chosen["codes"])


def subject_of(directory: Path) -> Subject:
    """What a run, or the runs of a sweep, are about.

    Raises:
        RunError: the folder holds neither, or what it holds does not name its languages.
    """
    if not is_sweep(directory):
        return _subject([open_run(directory).settings()], directory)
    sweep = open_sweep(directory)
    folders = [sweep.run(job) for job in sweep.jobs]
    settings = [open_run(folder).settings() for folder in folders if Layout(folder).config.is_file()]
    if not settings:
        raise RunError(f"{directory}: none of the sweep's {len(sweep.jobs)} jobs has begun.")
    return _subject(settings, directory, sweep)


def setting(settings: Mapping[str, Any], key: str) -> object:
    """The value of a dotted key of nested settings; None where there is none."""
    value: object = settings
    for part in key.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(part)
    return value


def _subject(runs: Sequence[Mapping[str, Any]], directory: Path, sweep: Sweep | None = None) -> Subject:
    languages = _union(setting(run, "langs.codes") for run in runs)
    if not languages:
        raise RunError(f"{directory}: config.yaml names no languages (langs.codes); give them with --languages en,es.")
    swept = [] if sweep is None else [key for axis in sweep.axes if (key := _plain(runs, axis))]
    return Subject(
        languages=languages,
        reward_prompts=_union(setting(run, "evaluation.reward_prompts") for run in runs),
        project=_first(runs, "logger.project") or PROJECT,
        entity=_first(runs, "logger.entity"),
        group=None if sweep is None else directory.resolve().name,
        swept=swept,
    )


def _first(runs: Sequence[Mapping[str, Any]], key: str) -> str:
    """The value that the first run has that has one; `""` where none has."""
    return next((str(found) for run in runs if (found := setting(run, key))), "")


def _union(values: Iterable[object]) -> list[str]:
    """What the lists, or the keys of the mappings, name: each once, in the order in which they do."""
    found = [value for value in values if isinstance(value, (list, Mapping))]
    return list(dict.fromkeys(str(name) for value in found for name in value))


def _plain(runs: Sequence[Mapping[str, Any]], axis: str) -> str | None:
    """The key under which runs have one number or word for what a sweep has set; None where they have none.

    A group that was chosen, such as `loss=kto`, is told by its class.
    """
    key = axis.lstrip("+")
    for found in (key, f"{key}._target_"):
        if any(isinstance(setting(run, found), (bool, int, float, str)) for run in runs):
            return found
    return None


def checked_codes(text: str) -> list[str]:
    """The codes of `en,es`.

    Raises:
        ConfigError: one is unknown, or there is none.
    """
    from icr.config.languages import NAMES  # Hydra comes with it, which a run's own settings do without.

    codes = list(dict.fromkeys(code.strip() for code in text.split(",") if code.strip()))
    if not codes:
        raise ConfigError("--languages names none; give codes, as in --languages en,es.")
    for code in codes:
        if code not in NAMES:
            raise ConfigError(
                f"--languages: {code!r} is not a known language code.{near(code, NAMES)} Where a run has a language of "
                f"its own, give the run's directory in place of --languages."
            )
    return codes
