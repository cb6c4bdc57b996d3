"""`icr evaluate`, `python -m icr.evaluate`: measure the models of a run, a model folder, or given answers."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

import hydra
from omegaconf import DictConfig

from icr.config.command import run_app, said
from icr.config.files import conf_dir
from icr.config.recorded import with_overrides
from icr.errors import RunError
from icr.terminal import guarded, quiet


@hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="evaluate")
def app(cfg: DictConfig) -> None:
    """One evaluation, in a directory of its own."""
    from icr.evaluate.job import job  # Seconds of imports, which --help does without.

    quiet()
    with said():
        job(cfg)


def main(arguments: Sequence[str] | None = None) -> int:
    """Evaluate, and return the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    composed: list[str] = []
    status = guarded(lambda: composed.extend(as_arguments(words)))
    stopped = "stopped. The same command goes on from here, and pays for no verdict twice."
    return status or run_app(app, composed, stopped=stopped, name="evaluate")


def as_arguments(words: Sequence[str]) -> list[str]:
    """The command line as Hydra takes it: a first word that is no setting is a run, or else a model.

    A folder is no setting, though it have a sign of equality in its name, as the jobs of sweeps have. Of a run come all
    choices and settings that the command line does not replace.

    Raises:
        RunError: the run does not say what it was made with.
        ModelError: there is no such run, nor a model.
    """
    # Hydra wants a sign before keys that are not there yet, as names of models never are.
    first, *rest = [re.sub(r"^(?=evaluate\.(answers|models)\.)", "++", word) for word in words] or [""]
    if not first or first.startswith("-") or ("=" in first and not Path(first).is_dir()):
        return [first, *rest] if first else rest
    from icr.models.folder import check_exists  # Seconds of imports, which --help does without.
    from icr.rundir.layout import Layout

    layout = Layout(Path(first))
    if not layout.manifest.is_file():
        if layout.rounds():
            raise RunError(f"{first} has rounds of a run and no {layout.manifest.name}: nothing says what is whole.")
        check_exists(first)
        return [f"model.path={_quoted(first)}", *rest]
    where = [] if any(word.startswith("run.dir=") for word in rest) else [f"run.dir={_quoted(layout.benchmarks)}"]
    return [f"evaluate.run={_quoted(first)}", *with_overrides(layout.overrides, [*where, *rest])]


def _quoted(path: str | Path) -> str:
    """A path as a value of Hydra's grammar, whatever characters it has."""
    escaped = str(path).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


if __name__ == "__main__":
    sys.exit(main())
