"""Model paths that are GGUF files, llama.cpp's format: `folder/x.gguf`, or `owner/name/x.gguf` on a hub.

Light: says what a path is, and whether the file can be used. `gguf_reading` gives it to transformers.
"""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path

from icr.errors import ConfigError, ModelError, near, one_line
from icr.models.gguf_header import Header, read_header

SUFFIX = ".gguf"
PACKAGES = ("gguf", "accelerate")
"""What transformers reads such files with."""


@dataclass(frozen=True)
class GgufFile:
    """A GGUF file, as `from_pretrained` takes it.

    Attributes:
        source: the folder that it lies in, or a hub name.
        name: the file's name within.
        local: whether `source` is a folder.
    """

    source: str
    name: str
    local: bool

    def located(self) -> Path:
        """The file on this machine, from the hub if need be.

        Raises:
            OSError: the hub does not have it, or cannot be reached.
        """
        if self.local:
            return Path(self.source) / self.name
        from transformers.utils.hub import cached_file

        return Path(str(cached_file(self.source, self.name)))


def gguf_file(path: str) -> GgufFile | None:
    """The GGUF file that `path` names; None where it names a folder, or a model of a hub."""
    if not str(path).lower().endswith(SUFFIX) or Path(path).is_dir():
        return None
    parts = path.split("/")
    on_hub = len(parts) > 2 and parts[0] not in ("", ".", "..", "~") and not Path(parts[0]).exists()
    if on_hub and not Path(path).is_file():
        return GgufFile("/".join(parts[:2]), "/".join(parts[2:]), local=False)
    return GgufFile(str(Path(path).parent), Path(path).name, local=True)


def from_pretrained_of(path: str) -> tuple[str, dict[str, str]]:
    """The model's name and further arguments with which transformers' `from_pretrained` reads `path`."""
    file = gguf_file(path)
    return (file.source, {"gguf_file": file.name}) if file else (path, {})


def check_gguf(path: str, file: GgufFile) -> None:
    """Refuse a GGUF file that is not there, is a part of one, or cannot be read for want of a package.

    Raises:
        ModelError: naming the file, and a similar one beside it where there is one; or it is one part of several.
        ConfigError: a package is missing.
    """
    if re.search(r"-\d{5}-of-\d{5}\.gguf$", path, re.IGNORECASE):
        raise ModelError(
            f"{path} is one part of a GGUF file that was split, and transformers reads whole ones. Join them first: "
            f"llama-gguf-split --merge <first part> <whole file>."
        )
    if file.local and not (whole := file.located()).is_file():
        beside = [found.name for found in whole.parent.glob(f"*{SUFFIX}")] if whole.parent.is_dir() else []
        raise ModelError(f"The GGUF file {path} does not exist.{near(whole.name, beside, f'{file.source}/')}")
    if missing := [package for package in PACKAGES if importlib.util.find_spec(package) is None]:
        raise ConfigError(
            f"The GGUF file {path} needs {' and '.join(missing)} to be read, which is not installed: "
            f"pip install 'icr[gguf]'."
        )


def header_of(path: str) -> Header:
    """What the file says of itself, once it is seen to be whole.

    Raises:
        ModelError: it is no GGUF file, is cut short or damaged, or is not to be had.
    """
    file = gguf_file(path)
    if file is None:
        raise ModelError(f"{path} is no GGUF file: its name does not end with {SUFFIX}.")
    check_gguf(path, file)
    try:
        located = file.located()
        header = read_header(located)
    except OSError as error:
        raise ModelError(f"The GGUF file {path} cannot be read: {one_line(error)}") from error
    except ValueError as error:
        raise ModelError(f"The GGUF file {path} cannot be used: {error}. Get it anew.") from error
    if int(str(header.metadata.get("split.count", 1))) > 1:
        raise ModelError(f"{path} is one part of a GGUF file that was split. Join the parts first: llama-gguf-split.")
    return header


def refuse_gguf(path: str, what: str) -> None:
    """Refuse a GGUF file, or an adapter on one, for a use that only ordinary folders serve.

    Args:
        what: it cannot do, as the beginning of a sentence.

    Raises:
        ConfigError: saying how to make such a folder.
    """
    if gguf_file(path):
        raise ConfigError(
            f"{what} cannot take a GGUF file, and {path} is one. Make an ordinary model folder of it, once: "
            f"icr export {path} --to <folder>, and give that."
        )
