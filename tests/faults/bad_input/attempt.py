"""One command with something wrong in it, in this process, and what has to come of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from icr import cli

BEGUN = {".lock", "config.yaml", "manifest.json", "overrides.yaml"}
"""What a run directory holds when all but the weights of models has been seen to be right."""


@dataclass(frozen=True)
class World:
    """What the commands are about: `{world}` in their arguments.

    Attributes:
        folder: holds `policy` and `reference`, a byte-level pair; `prompts`, of English and Swahili; `run`, a run.
    """

    folder: Path

    @property
    def run(self) -> list[str]:
        """A run on these that would be taken."""
        return [
            *("data=parallel", f"data.dir={self.folder}/prompts", "langs.codes=[en,sw]", "sampling.max_new_tokens=16"),
            *(
                f"model.path={self.folder}/policy",
                f"model.reference={self.folder}/reference",
                "trainer.accelerator=cpu",
            ),
        ]


@dataclass(frozen=True)
class Case:
    """A mistake.

    Attributes:
        kind: of mistake.
        arguments: of the command; the last is the culprit where nothing else is `named`.
        named: what the message has to hold.
        word: of `icr`.
        make: makes files for it in a folder, `{here}` in its arguments.
        begins: whether it is found out only when weights are read.
        code: the exit code.
    """

    kind: str
    arguments: Sequence[str]
    named: str = ""
    word: str = "run"
    make: Callable[[Path, World], object] = field(default=lambda folder, world: None)
    begins: bool = False
    code: int = 2

    @property
    def culprit(self) -> str:
        """What the message has to hold: the setting, without the marks that add and take away."""
        return self.named or self.arguments[-1].partition("=")[0].lstrip("+~")


class Started(BaseException):
    """A run has begun that should have been refused."""


def attempt(case: Case, world: World, folder: Path, capsys: pytest.CaptureFixture, patch: pytest.MonkeyPatch) -> None:
    """Give the command, and see that it ends as it has to: nothing made, nothing changed, and the culprit named."""
    here, run = folder / "here", folder / "run"
    here.mkdir()
    case.make(here, world)
    arguments = [
        argument.replace("{world}", str(world.folder)).replace("{here}", str(here)) for argument in case.arguments
    ]
    if case.word == "run" and not any(argument.startswith(("run.dir", "~run")) for argument in arguments):
        arguments.append(f"run.dir={run}")
    before = everything(world.folder) | everything(here)
    code, said = _ended(case, arguments, here, capsys, patch)
    *others, last = said.strip().splitlines() or [""]
    assert code == case.code, said
    assert "Traceback" not in said
    assert "Error executing" not in said
    assert last.startswith("icr"), said
    assert not any(line.startswith("icr: ") for line in others), said
    assert case.culprit in last, said
    assert len(last) < 1500, said
    assert everything(world.folder) | everything(here) == before
    if run.exists():
        assert case.begins, sorted(path.name for path in run.iterdir())
        assert {path.name for path in run.iterdir()} <= BEGUN


def _ended(
    case: Case, arguments: list[str], here: Path, capsys: pytest.CaptureFixture, patch: pytest.MonkeyPatch
) -> tuple[int, str]:
    def started(*_: object) -> None:
        raise Started(case)

    patch.chdir(here)
    patch.setattr("sys.argv", ["icr"])
    for module in ("icr.run.begin", "icr.doctor.__main__"):
        patch.setattr(f"{module}.quiet", lambda: None)  # Its log handler would outlive the streams.
    if not case.begins:
        patch.setattr("icr.run.job.run_with_controls", started)
        patch.setattr("icr.launch.processes.start", started)
    try:
        code = cli.main([case.word, *arguments])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    return code, capsys.readouterr().err


def everything(folder: Path) -> dict[Path, tuple[int, int]]:
    """Size and time of every file below a folder, and its folders."""
    found = [Path(base) / name for base, folders, files in os.walk(folder) for name in (*folders, *files)]
    return {path: (0, 0) if path.is_dir() else (path.lstat().st_size, path.lstat().st_mtime_ns) for path in found}
