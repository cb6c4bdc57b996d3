"""Checkpoints of a training, as files that are written and read tensor by tensor."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any, BinaryIO, cast

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from icr.errors import RunError, one_line
from icr.rundir import atomic


class StreamedCheckpoints(TorchCheckpointIO):
    """Writes beside the checkpoint's place and moves it there when it is whole; reads through a memory map.

    Lightning's own builds the file in memory first (weights and optimiser states once more, 96 GB for 8 billion of
    them), and takes the way over the folder for temporary files, whose disk may be another one.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: object = None) -> None:
        """Write `checkpoint`.

        Raises:
            OSError: it cannot be written, such as on a full disk.
        """
        atomic.replace(Path(path), lambda temporary: _write(checkpoint, temporary))

    def load_checkpoint(
        self, path: str | Path, map_location: object = None, weights_only: bool | None = True
    ) -> dict[str, Any]:
        """Read what `save_checkpoint` has written. No code in it is run.

        Raises:
            RunError: its content is not what was written, by the archive's own checksums.
        """
        try:
            with zipfile.ZipFile(path) as archive:
                damaged = archive.testzip()
        except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
            damaged = one_line(error)
        if damaged:
            raise RunError(
                f"The checkpoint {path} is damaged ({damaged}). Delete it, and the same command trains this round from "
                f"the last checkpoint before, or from its start."
            )
        return cast(dict[str, Any], torch.load(path, map_location="cpu", mmap=True, weights_only=True))


def _write(checkpoint: dict[str, Any], path: Path) -> None:
    try:
        with path.open("wb") as file:
            torch.save(checkpoint, cast(BinaryIO, file))
    except RuntimeError as error:
        # torch reports that its archive is torn, and not what has torn it.
        if not isinstance(cause := error.__context__, OSError) or cause.errno is None:
            raise
        raise OSError(cause.errno, os.strerror(cause.errno), str(path)) from error
