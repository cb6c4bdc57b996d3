"""What the content of a stage depends on besides its key: the code that makes it, the libraries, and the device."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import platform
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from types import FunctionType
from typing import Any

import torch

import icr
from icr.rundir.key import Key

SHOWING = {
    "cli.py",
    "cache",
    "dashboard",
    "doctor",
    "export",
    "metrics.py",
    "progress.py",
    "report",
    "terminal.py",
    "tracking",
}
"""Rooms of icr that make no number of a stage."""
NO_SOURCE = {"__pycache__", "assets", "conf"}
"""Folders of what is made of source, of settings, and of models: keys have the content of these two."""
LIBRARIES = (
    *("torch", "transformers", "tokenizers", "lightning", "numpy", "pyarrow", "peft", "bitsandbytes", "deepspeed"),
    *("vllm", "py3langid", "lm_eval"),
)
"""Distributions that make numbers, where they are installed."""


@dataclass(frozen=True)
class Origin:
    """Where the stages of a run come from.

    Attributes:
        environment: versions of code and libraries, and the kind of device.
        foreign: names of classes whose code belongs to no installed package, and may change under the name.
    """

    environment: Mapping[str, str]
    foreign: frozenset[str] = frozenset()

    @classmethod
    def of(cls, settings: object, device: str) -> Origin:
        """Of a run with these settings on this device."""
        return cls({**environment(device), **_others(settings)}, foreign_classes(settings))

    def vouches_for(self, key: Key) -> bool:
        """Whether key and environment hold all that the stage depends on.

        They do not where the settings name a foreign class, nor of a hub's model whose revision is not known.
        """
        models = [model for value in key.upstream.values() for model in value.split(" on ")]
        unknown = any(model.startswith("hub:") and "@" not in model for model in models)
        return not unknown and self.foreign.isdisjoint(_named(key.settings))


def environment(device: str) -> dict[str, str]:
    """Versions of icr, of the source that makes its numbers and of the libraries, and the kind of device.

    Args:
        device: as torch names it, such as `cpu` or `cuda:0`.
    """
    kind = torch.device(device).type
    name = torch.cuda.get_device_name(device) if kind == "cuda" else torch.backends.cpu.get_cpu_capability()
    return {
        "icr": icr.__version__,
        "source": _source(),
        "python": ".".join(platform.python_version_tuple()[:2]),
        **{library: found for library in LIBRARIES if (found := _version(library))},
        "device": f"{kind} {platform.machine()} {name}",
    }


def foreign_classes(settings: object) -> frozenset[str]:
    """Names of the classes and functions among these settings whose code belongs to no installed package, and may
    change any time.
    """
    return frozenset(found.__qualname__ for found in _classes(settings, set()) if not _installed(found))


def _others(settings: object) -> dict[str, str]:
    """Version of each installed package that has brought a class of these settings, of those not looked at anyway."""
    tops = {found.__module__.partition(".")[0] for found in _classes(settings, set()) if _installed(found)}
    tops -= {"icr", *LIBRARIES, *sys.stdlib_module_names}
    brought = packages_distributions() if tops else {}
    return {name: _version(name) for top in tops for name in brought.get(top, ())}


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def _classes(value: object, seen: set[int]) -> Iterator[Any]:
    if value is None or isinstance(value, (str, int, float, bool)) or id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, functools.partial):
        inner: list[Any] = [value.func, *value.args, *value.keywords.values()]
    elif isinstance(value, (type, FunctionType)):
        yield value
        return
    elif isinstance(value, Mapping):
        inner = list(value.values())
    elif isinstance(value, (list, tuple, set, frozenset)):
        inner = list(value)
    else:
        yield type(value)
        inner = _parts(value)
    for item in inner:
        yield from _classes(item, seen)


def _parts(value: object) -> list[Any]:
    if dataclasses.is_dataclass(value):
        return [getattr(value, field.name) for field in dataclasses.fields(value)]
    return list(vars(value).values()) if hasattr(value, "__dict__") and not callable(value) else []


def _installed(found: Any) -> bool:
    top = found.__module__.partition(".")[0]
    if top == "icr" or top in sys.stdlib_module_names:
        return True
    file = getattr(sys.modules.get(found.__module__), "__file__", None)
    return file is not None and "site-packages" in Path(file).parts


@functools.cache
def _source() -> str:
    home = Path(icr.__file__).parent
    digest = hashlib.sha256()
    for file in sorted(path for path in home.rglob("*") if path.is_file()):
        within = file.relative_to(home)
        if (SHOWING | NO_SOURCE).isdisjoint(within.parts):
            digest.update(str(within).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]


def _named(settings: object) -> set[str]:
    """Names of all classes in a key's settings."""
    if isinstance(settings, Mapping):
        own = {str(settings["class"])} if "class" in settings else set()
        return own.union(*(_named(item) for item in settings.values()))
    return set().union(*(_named(item) for item in settings)) if isinstance(settings, list) else set()
