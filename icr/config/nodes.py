"""Nodes of a composed configuration: walking, checking and instantiating them."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, TypeVar, cast

from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, Node, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError, MissingMandatoryValue, OmegaConfBaseException

from icr.config.signatures import check, signature
from icr.errors import ConfigError, one_line

T = TypeVar("T")

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
    _check_signatures(key, values_of(cfg, key))
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
    check(key, values_of(cfg, key), {})
    return None


def values_of(cfg: DictConfig, key: str = "") -> dict[str, Any]:
    """The settings below `key` (empty: all of them) as plain values."""
    node = OmegaConf.select(cfg, key) if key else cfg
    return cast(dict[str, Any], OmegaConf.to_container(node, resolve=True))


def typed(kind: Callable[..., T], key: str, values: Mapping[str, Any]) -> T:
    """A dataclass from plain values, with types checked.

    Raises:
        ConfigError: a setting is unknown, of the wrong type or out of range; its key is named.
    """
    check(key, values, signature(kind))
    try:
        return kind(**values)
    except ValueError as error:
        raise ConfigError(keyed(key, error)) from error


def nodes(node: DictConfig, prefix: str = "") -> Iterator[tuple[str, Node]]:
    """Every key of a configuration, groups included, dotted as the command line takes it, with its unresolved node."""
    for name in map(str, node):
        child = cast(Node, node._get_node(name))
        yield f"{prefix}{name}", child
        if name != "hydra" and isinstance(child, DictConfig) and not child._is_none():
            yield from nodes(child, f"{prefix}{name}.")


def require_given(cfg: DictConfig, only: Collection[str] = (), command: str = "icr run") -> None:
    """Refuse a configuration with a key that has no value, or refers to a key that is not there.

    Args:
        only: groups, or keys in them, to look at, without the paths of models, of which a command may have its own;
            empty for all.
        command: whose help says more.

    Raises:
        ConfigError: all keys that must be given are named.
    """
    try:
        missing = {key: itself for key, itself in _missing(cfg) if not only or _within(key, only)}
    except OmegaConfBaseException as error:
        raise ConfigError(unresolved(error)) from error
    if "reward_pair.reference" not in missing:
        missing.pop("model.reference", None)  # It stands for nothing else.
    if only:
        missing.pop("model.path", None)
    if needed := [key for key, itself in missing.items() if itself]:
        raise ConfigError(
            f"{', '.join(needed)} must be given, as in {needed[0]}=<value>; `{command} --help` with the same "
            f"choices says what for."
        )


def unresolved(error: OmegaConfBaseException) -> str:
    """What is said of a key that refers to another one in vain, or to itself."""
    return f"{error.full_key} does not resolve: {one_line(str(error).splitlines()[0]).rstrip('.')}."


def _missing(node: DictConfig, prefix: str = "") -> Iterator[tuple[str, bool]]:
    """Keys without a value, and whether they lack it themselves (or refer to one that does)."""
    for name in map(str, node):
        key = f"{prefix}{name}"
        try:
            value = node[name]
        except (MissingMandatoryValue, InterpolationToMissingValueError) as error:
            yield key, isinstance(error, MissingMandatoryValue)
            continue
        if OmegaConf.is_dict(value):
            refers = OmegaConf.is_interpolation(node, name)
            yield from ((place, itself and not refers) for place, itself in _missing(value, f"{key}."))


def _within(key: str, places: Collection[str]) -> bool:
    return any(key == place or key.startswith(f"{place}.") for place in places)


def one_of(cfg: DictConfig, key: str, choices: tuple[str, ...]) -> None:
    """Refuse another value at `key` than one of these.

    Raises:
        ConfigError: naming the key, the choices and the value.
    """
    if (value := OmegaConf.select(cfg, key)) not in choices:
        raise ConfigError(f"{key} must be one of {', '.join(choices)}, got {value!r}.")


def keyed(key: str, cause: Exception) -> str:
    """`beta must be above 0` of `loss` → `loss.beta must be above 0.`"""
    text = str(cause).rstrip(".")
    words = text.split(" ", 2)
    separator = "." if words[0].replace(".", "_").isidentifier() and words[1:2] in (["must"], ["is"]) else ": "
    return f"{key}{separator}{text}."


def _unimportable(target: str, missing: str | None) -> str:
    if missing in EXTRAS:
        return f"{target} needs {missing}, which is not installed: pip install 'icr[{EXTRAS[missing]}]'."
    return f"{target} cannot be imported."


def _check_signatures(key: str, values: object) -> None:
    """Check `values`, and what is nested in them, against the classes that their `_target_`s name."""
    if not isinstance(values, Mapping):
        return
    if "_target_" in values:
        try:
            target = get_object(values["_target_"])
        except Exception as error:
            missing = error.__cause__.name if isinstance(error.__cause__, ModuleNotFoundError) else None
            raise ConfigError(f"{key}._target_: {_unimportable(values['_target_'], missing)}") from error
        try:
            expected = signature(target)
        except (ValueError, TypeError) as error:
            raise ConfigError(f"{key}._target_: {values['_target_']} is no class with settings.") from error
        check(key, values, expected, target.__name__)
    for name, value in values.items():
        _check_signatures(f"{key}.{name}", value)
