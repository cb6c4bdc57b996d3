"""Every number of `conf/` is refused by its key where it is none, is not finite, or is beyond what float32 holds."""

from __future__ import annotations

import math

import hydra
import pytest
from omegaconf import OmegaConf

from icr import config
from icr.errors import ConfigError
from tests.keys import settings as every

BAD = {
    "inf": math.inf,
    "nan": math.nan,
    "true": True,
    "text": "many",
    "group": {"a": 1},
    "digits": 10**40,
    "-digits": -(10**40),
}
MEANT = {
    ("reward.slope", "inf"): "labels that never err",
    ("data.prompts_per_language", "digits"): "refused when the prompts are read, with how many there are",
    ("data.prompts_per_language", "-digits"): "the same",
}
"""What is a value after all."""
NAMED_ABOVE = "optim.optimizer"
"""A class that is not ours, and names no key itself."""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    every.write_files(folder)
    return folder


def numbers(cfg) -> list[str]:
    """Settings that hold a number of their own."""
    values = dict(config.nodes(cfg))
    found = []
    for key in every.leaves(cfg):
        parent, name = values[key]._get_parent(), key.rpartition(".")[2]
        value = OmegaConf.select(cfg, key)
        if (
            isinstance(value, (int, float))
            and not isinstance(value, bool)
            and not OmegaConf.is_interpolation(parent, name)
        ):
            found.append(key)
    return found


def message(cfg) -> str:
    """What a configuration is refused with; nothing where it is taken."""
    try:
        config.build(cfg)
    except ConfigError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("composition", "name"),
    [
        pytest.param(composition, name, marks=[] if (composition, name) == ("", "nan") else pytest.mark.faults)
        for composition in every.COMPOSITIONS
        for name in BAD
    ],
)
def test_no_number(composition, name, files, count):
    with hydra.initialize_config_dir(str(config.conf_dir()), version_base="1.3"):
        cfg = every.composed(every.COMPOSITIONS[composition], files)
        seen = set(numbers(every.composed([], files))) if composition else set()
        for key in numbers(cfg):
            if key in seen or (key, name) in MEANT:
                continue
            new = cfg.copy()
            OmegaConf.update(new, key, BAD[name], merge=False, force_add=True)
            named = NAMED_ABOVE if key.startswith(NAMED_ABOVE) else key
            assert named.removeprefix("evaluation.") in message(new), f"{key}={BAD[name]!r}"
    count("bad numbers", "refused by their key")
