"""What the pages show from outside of `docs/`: the picture of the README."""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

PICTURE = Path(__file__).parents[1] / "experiments" / "demo" / "win_rate.svg"


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the picture as `assets/win_rate.svg`."""
    files.append(File.generated(config, "assets/win_rate.svg", abs_src_path=str(PICTURE)))
    return files
