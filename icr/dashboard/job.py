"""The work of `icr dashboard`: read what the runs are about, write the specification or save it with W&B."""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from icr.dashboard.outline import sections
from icr.dashboard.subject import Subject, checked_codes, default_subject, subject_of
from icr.errors import ConfigError, RunError, one_line
from icr.rundir import atomic

if TYPE_CHECKING:
    from wandb_workspaces.reports.v2.interface import Report
    from wandb_workspaces.workspaces.interface import Workspace

EXTRA = "wandb_workspaces"


def dashboard(options: argparse.Namespace) -> None:
    """Build the workspace and the report, and write them to a file or save them with W&B.

    Raises:
        ConfigError: the extra is missing, a language is unknown, or nobody is logged in.
        RunError: the run or sweep cannot be read, or W&B cannot be reached or refuses.
    """
    if importlib.util.find_spec(EXTRA) is None:
        raise ConfigError("icr dashboard needs wandb-workspaces, which is missing: pip install 'icr[dashboards]'.")
    subject = _subject(options)
    if options.dry_run:
        atomic.replace(options.dry_run, lambda path: atomic.write_json(path, specification(subject)))
        print(options.dry_run)
        return
    _save(subject)


def specification(subject: Subject) -> dict[str, Any]:
    """Workspace and report as W&B takes them, made without login or network, and the same every time."""
    models = {name: part._to_model() for name, part in _built(subject).items()}
    return {name: model.model_dump(mode="json", by_alias=True, exclude_none=True) for name, model in models.items()}


def _subject(options: argparse.Namespace) -> Subject:
    if options.run and options.languages:
        raise ConfigError("--languages is read from the run's directory; give one of them.")
    found = subject_of(options.run) if options.run else default_subject()
    languages = checked_codes(options.languages) if options.languages else found.languages
    project, entity = options.project or found.project, options.entity or found.entity
    return replace(found, languages=languages, project=project, entity=entity)


def _built(subject: Subject) -> Mapping[str, Workspace | Report]:
    from icr.dashboard.wandb import report, workspace  # Seconds of imports, which a mistake does without.

    shown = sections(subject)
    return {"workspace": workspace(subject, shown), "report": report(subject, shown)}


def _save(subject: Subject) -> None:
    entity = _login()
    own = replace(subject, entity=subject.entity or entity)
    if not own.entity:
        raise ConfigError("The login with W&B has no user or team by default; name one with --entity.")
    for name, part in _built(own).items():
        try:
            part.save()  # type: ignore[no-untyped-call]
        except Exception as error:  # The library raises bare ones, too.
            raise RunError(f"W&B does not take the {name} ({one_line(error)}).") from error
        print(f"{name}: {part.url}")


def _login() -> str:
    """The user or team that the login has by default; `""` for none."""
    import wandb

    try:
        return str(wandb.Api().default_entity or "")
    except (wandb.errors.UsageError, wandb.errors.AuthenticationError) as error:
        raise ConfigError(
            f"icr dashboard needs a login with W&B ({one_line(error)}): `wandb login`, or a key in the variable "
            f"WANDB_API_KEY. --dry-run FILE writes the specification without one."
        ) from error
    except Exception as error:
        raise RunError(f"W&B cannot be reached ({one_line(error)}).") from error
