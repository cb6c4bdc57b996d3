"""Composes the configuration as the command line does."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import hydra
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from icr import config


@pytest.fixture(scope="module")
def compose() -> Iterator[Callable[..., DictConfig]]:
    """`compose("loss=kto", …)`. What chooses no group is set on one composed configuration, which is quicker."""
    parser = OverridesParser.create()
    with hydra.initialize_config_dir(str(config.conf_dir()), version_base="1.3"):
        base = hydra.compose("config")

        def make(*overrides: str, name: str = "config") -> DictConfig:
            if name != "config" or any((config.conf_dir() / text.partition("=")[0]).is_dir() for text in overrides):
                return hydra.compose(name, list(overrides))
            cfg = base.copy()
            for override in map(parser.parse_override, overrides):
                OmegaConf.update(cfg, override.key_or_group, override.value(), force_add=override.is_add())
            return cfg

        yield make
