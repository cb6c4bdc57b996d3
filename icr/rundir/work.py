"""Work on a stage that is not complete: a folder, and beside it a mark that says under which key it was begun.

Work without its mark is not gone on with: nothing says what it is of.
"""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any, TypedDict, cast

from icr.errors import RunError
from icr.rundir import atomic, sealed
from icr.rundir.fingerprint import Json
from icr.rundir.key import difference
from icr.rundir.layout import Layout

log = logging.getLogger(__name__)


class Mark(TypedDict):
    """What stands beside a work folder.

    Attributes:
        stage: its name.
        key: under which it was begun, as JSON.
        made_by: settings that change no number, but without which the work cannot be gone on with.
    """

    stage: str
    key: dict[str, Any]
    made_by: dict[str, Json]


def marks(layout: Layout) -> dict[Path, Mark]:
    """The marks of all work in a run directory, by its folders. Work whose mark is damaged is removed, and said so."""
    folders = map(layout.work, layout.all_begun())
    return {folder: mark for folder in folders if (mark := _mark(layout, folder))}


def begin(layout: Layout, folder: Path, mark: Mark) -> None:
    """Make `folder` for the work that `mark` is of, or leave there what was begun alike.

    Raises:
        RunError: it was begun otherwise.
    """
    path = layout.begun(folder)
    found = _mark(layout, folder)
    if found and found["stage"] == mark["stage"]:
        if lines := difference(found["made_by"], mark["made_by"]):
            raise RunError(
                f"{layout.folder(mark['stage'])} was begun otherwise ({', '.join(lines)}), and only goes on as it was "
                f"begun. Put that back, or remove {folder} to begin the stage anew."
            )
    else:
        if folder.is_dir():
            log.warning("%s has no %s that says it is of this stage: it is begun anew", folder, path.name)
        end(layout, folder)
        sealed.write(path, mark)
    atomic.make_folder(folder)


def end(layout: Layout, folder: Path) -> None:
    """Remove work that is needed no more, if there is any."""
    shutil.rmtree(folder, ignore_errors=True)
    layout.begun(folder).unlink(missing_ok=True)


def _mark(layout: Layout, folder: Path) -> Mark | None:
    path = layout.begun(folder)
    if not (path.is_file() and folder.is_dir()):
        return None
    try:
        return cast(Mark, sealed.opened(json.loads(path.read_text(encoding="utf-8"))))
    except ValueError as error:
        log.warning("%s is damaged (%s): %s is removed, and begun anew", path, error, folder)
        end(layout, folder)
        return None
