"""Nodes of a composed configuration: walking, checking and instantiating them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError, MissingMandatoryValue, OmegaConfBaseException

from icr.config.signatures import check, signature
from icr.errors import ConfigError

EXTRAS = {"bitsandbytes": "quantisation"}
"""Extras that bring the packages which `_target_`s in `conf/` name."""


def make(cfg: DictConfig, key: str) -> Any:
    """Instantiate the node at `key`; what its class refuses becomes a `ConfigError` that names the key."""
    node = OmegaConf.select(cfg, key)
    if "_target_" not in node:
        raise ConfigError(
            f"{key} names no class, as {key}._target_. Choose an option of {key.split('.')[0]} that does; "
            f"`python -m icr.run --help` lists them."
        )
    _check_signatures(key, OmegaConf.to_container(node, resolve=True))
    try:
        return instantiate(node, _convert_="all")
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, ConfigError):
            raise cause from error
        if isinstance(cause, (ValueError, TypeError)):
            nested = re.search(r"full_key: (\S+)", str(error))
            raise ConfigError(keyed(nested[1] if nested else key, cause)) from error
        raise ConfigError(f"{key}: {str(error).splitlines()[0]}") from error


def optional(cfg: DictConfig, key: str) -> Any:
    """The same where the chosen option names a class; None where it does not, as `none` does.

    Raises:
        ConfigError: as `make`; or there are settings of nothing.
    """
    if "_target_" in OmegaConf.select(cfg, key):
        return make(cfg, key)
    check(key, OmegaConf.to_container(OmegaConf.select(cfg, key)), {})
    return None


def typed(kind: type, key: str, values: Mapping[str, Any]) -> Any:
    """A dataclass from plain values, with types checked."""
    check(key, values, signature(kind))
    try:
        return kind(**values)
    except ValueError as error:
        raise ConfigError(keyed(key, error)) from error


def nodes(node: DictConfig, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every key of a configuration, groups included, dotted as the command line takes it, with its unresolved node."""
    for name in node:
        child = node._get_node(name)
        yield f"{prefix}{name}", child
        if name != "hydra" and OmegaConf.is_dict(child) and not child._is_none():
            yield from nodes(child, f"{prefix}{name}.")


def require_given(cfg: DictConfig) -> None:
    try:
        missing = dict(_missing(cfg))
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key} does not resolve: {str(error).splitlines()[0]}.") from error
    if "reward_pair.reference" not in missing:
        missing.pop("model.reference", None)  # It stands for nothing else.
    if needed := [key for key, itself in missing.items() if itself]:
        raise ConfigError(
            f"{', '.join(needed)} must be given, as in {needed[0]}=<value>; `icr run --help` with the same "
            f"choices says what for."
        )


def _missing(node: DictConfig, prefix: str = "") -> Iterator[tuple[str, bool]]:
    """Keys without a value, and whether they lack it themselves (or refer to one that does)."""
    for name in node:
        key = f"{prefix}{name}"
        try:
            value = node[name]
        except (MissingMandatoryValue, InterpolationToMissingValueError) as error:
            yield key, isinstance(error, MissingMandatoryValue)
            continue
        if OmegaConf.is_dict(value):
            yield from _missing(value, f"{key}.")


def one_of(cfg: DictConfig, key: str, choices: tuple[str, ...]) -> None:
    if (value := OmegaConf.select(cfg, key)) not in choices:
        raise ConfigError(f"{key} must be one of {', '.join(choices)}, got {value!r}.")


def keyed(key: str, cause: Exception) -> str:
    """`beta must be above 0` of `loss` → `loss.beta must be above 0.`"""
    text = str(cause).rstrip(".")
    words = text.split(" ", 2)
    separator = "." if words[0].isidentifier() and words[1:2] in (["must"], ["is"]) else ": "
    return f"{key}{separator}{text}."


def _unimportable(target: str, missing: str | None) -> str:
    if missing in EXTRAS:
        return f"{target} needs {missing}, which is not installed: pip install 'icr[{EXTRAS[missing]}]'."
    return f"{target} cannot be imported."


def _check_signatures(key: str, values: Any) -> None:
    """Check `values`, and what is nested in them, against the classes that their `_target_`s name."""
    if not isinstance(values, Mapping):
        return
    if "_target_" in values:
        try:
            target = get_object(values["_target_"])
        except Exception as error:
            missing = error.__cause__.name if isinstance(error.__cause__, ModuleNotFoundError) else None
            raise ConfigError(f"{key}._target_: {_unimportable(values['_target_'], missing)}") from error
        check(key, values, signature(target), target.__name__)
    for name, value in values.items():
        _check_signatures(f"{key}.{name}", value)
