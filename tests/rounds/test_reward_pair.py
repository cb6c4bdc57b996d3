"""Which two models make the reward, and what identifies an input."""

from __future__ import annotations

import functools
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from icr.models.adapters import Lora
from icr.models.loading import Loader
from icr.rewards import BestWorst
from icr.rounds.reward_pair import RewardPair
from icr.rundir import fingerprint
from tests.e2e import tiny

POLICIES = ["pi0", "M0", "M1"]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [("pi0", "piI"), ("pi0", "piI"), ("pi0", "piI")]),
        ({"policy_round": "current"}, [("pi0", "piI"), ("M0", "piI"), ("M1", "piI")]),
        (
            {"policy_round": "current", "reference_round": "previous"},
            [("pi0", "piI"), ("M0", "pi0"), ("M1", "M0")],
        ),
    ],
    ids=["initial", "current policy", "previous"],
)
def test_the_pair_of_each_round(settings: dict, expected: list):
    pair = RewardPair("pi0", "piI", **settings)
    assert [pair.at(t, POLICIES[: t + 1]) for t in range(3)] == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"policy_round": "next"}, "policy_round must be"),
        ({"reference_round": "current"}, "reference_round must be"),
        ({"reference_round": "previous"}, "needs policy_round=current"),
    ],
)
def test_pairs_that_make_no_sense(settings: dict, message: str):
    with pytest.raises(ValueError, match=message):
        RewardPair("pi0", "piI", **settings)


def test_a_model_is_known_by_its_content(tmp_path: Path):
    one = Path(tiny.byte_llama(tmp_path / "one", 1, context=64))
    other = Path(tiny.byte_llama(tmp_path / "other", 2, context=64))
    before = fingerprint.of_model(str(one))
    assert before != fingerprint.of_model(str(other))
    assert before == fingerprint.of_model(str(shutil.copytree(one, tmp_path / "copy")))
    (one / "README.md").write_text("no part of the model")
    assert fingerprint.of_model(str(one)) == before
    shutil.copy(other / "model.safetensors", one / "model.safetensors")
    assert fingerprint.of_model(str(one)) != before
    assert fingerprint.of_model("owner/name") == "hub:owner/name"


def test_an_adapter_is_known_by_its_content_and_its_models(tmp_path: Path):
    base = Path(tiny.byte_llama(tmp_path / "base", 1, context=64))
    Loader(adapter=Lora(r=2)).load_for_training(str(base), seed=0).save(tmp_path / "adapter")
    adapter = str(tmp_path / "adapter")
    before = fingerprint.of_model(adapter)
    assert before != fingerprint.of_model(str(base))
    weights = (base / "model.safetensors").read_bytes()
    shutil.copy(Path(tiny.byte_llama(tmp_path / "other", 2, context=64)) / "model.safetensors", base)
    assert fingerprint.of_model(adapter) != before
    (base / "model.safetensors").write_bytes(weights)
    assert fingerprint.of_model(adapter) == before
    Loader(adapter=Lora(r=2)).load_for_training(str(base), seed=1).save(tmp_path / "adapter")
    assert fingerprint.of_model(adapter) != before


@dataclass
class Judge:
    """A setting with something that it works out."""

    names: frozenset[str]

    @functools.cached_property
    def worked_out(self) -> str:
        """Not a setting."""
        return ",".join(sorted(self.names))


class Plain:
    """No dataclass."""

    def __init__(self, noise: float):
        self.noise = noise

    @functools.cached_property
    def worked_out(self) -> float:
        """Not a setting."""
        return self.noise


def test_an_object_is_known_by_its_settings():
    assert fingerprint.of_object(BestWorst(minimum_margin=0.5)) == {
        "class": "BestWorst",
        "minimum_margin": 0.5,
        "drop_duplicates": False,
    }
    assert fingerprint.of_object({1: [None, (True, "a")]}) == {"1": [None, [True, "a"]]}
    for value in (Judge(frozenset("abc")), Plain(0.5)):
        before = fingerprint.of_object(value)
        assert value.worked_out
        assert fingerprint.of_object(value) == before
    assert fingerprint.of_object({"z", "a", "m"}) == ["a", "m", "z"] or fingerprint.of_object(
        {"z", "a", "m"}
    ) == fingerprint.of_object({"m", "z", "a"})
    assert fingerprint.of_object(Path("x")) == "x"


def test_a_value_is_known_whatever_the_order_of_its_keys():
    assert fingerprint.of_value({"a": 1, "b": [2]}) == fingerprint.of_value({"b": [2], "a": 1})
    assert fingerprint.of_value([1, 2]) != fingerprint.of_value([2, 1])
