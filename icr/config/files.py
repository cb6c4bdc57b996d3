"""Where `conf/` lies, and the resolvers that its files use."""

from __future__ import annotations

import importlib.resources
import os
import re
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError

from icr.config import help as usage
from icr.config.languages import language_names
from icr.config.nodes import nodes
from icr.errors import ConfigError

PACKAGE = Path(__file__).parent.parent


def conf_dir() -> Path:
    """The `conf` folder: inside the installed package, or at the top of a checkout."""
    inside = PACKAGE / "conf"
    return inside if inside.is_dir() else PACKAGE.parent / "conf"


def _help_settings(root: DictConfig) -> str:
    leaves = {key: node for key, node in nodes(root) if key != "hydra" and not (OmegaConf.is_dict(node) and node)}
    plain = {
        key: OmegaConf.to_container(node) if OmegaConf.is_config(node) else node._value()
        for key, node in leaves.items()
    }
    text = usage.settings(conf_dir(), plain, root.hydra.runtime.choices)
    return text.replace("$", "$$")  # Hydra substitutes once more.


def _sweep_name() -> str | None:
    """Name of the folder that the jobs of this sweep share; None where there is no sweep."""
    if not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.MULTIRUN:
        return None
    return Path(HydraConfig.get().sweep.dir).name


def _run_folder(name: object) -> str:
    """The run directory as Hydra takes it, for which no name is the current folder."""
    if not isinstance(name, (str, int, float)) or not str(name).strip():
        raise ConfigError(f"run.dir must be the name of a folder, as in run.dir=runs/mine, got {name!r}.")
    return str(name)


def _cache_folder() -> str | None:
    """Where the jobs of a sweep share stages; None where there is no sweep, and nothing to share."""
    home = os.environ.get("ICR_CACHE", "~/.cache/icr")
    return str(Path(home).expanduser() / "stages") if _sweep_name() else None


def _or_null(key: str, *, _root_: DictConfig) -> object:
    """The value at a key; None where there is none, or it refers to a key that has none."""
    try:
        return OmegaConf.select(_root_, key)
    except InterpolationToMissingValueError:
        return None


OmegaConf.register_new_resolver("cache_folder", _cache_folder, replace=True)
OmegaConf.register_new_resolver("or_null", _or_null, replace=True)
OmegaConf.register_new_resolver("run_folder", _run_folder, replace=True)
OmegaConf.register_new_resolver("sweep_name", _sweep_name, replace=True)
OmegaConf.register_new_resolver(
    "package", lambda package, path: str(importlib.resources.files(package) / path), replace=True
)
OmegaConf.register_new_resolver(
    "language_names", lambda codes, extra: OmegaConf.create(language_names(codes, extra)), replace=True
)
OmegaConf.register_new_resolver(
    "job_folder", lambda number, overrides: re.sub(r"[^\w.,=+-]+", "_", f"{number}_{overrides}")[:120], replace=True
)
OmegaConf.register_new_resolver("help_groups", lambda: usage.groups(conf_dir()), replace=True)
OmegaConf.register_new_resolver("help_settings", lambda *, _root_: _help_settings(_root_), replace=True)
