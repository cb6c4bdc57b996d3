"""Models that share weights, and models that take turns: the same numbers as apart, in less memory."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from icr.logps import score
from icr.models import residency
from icr.models.adapters import Lora, Quantisation
from icr.models.loading import LoadedModel, Loader
from icr.models.memory import offloaded
from icr.modules.scorer import ImplicitRewardModule

SEQUENCES = [(list(range(10, 30)), [40, 41, 42, 2]), (list(range(10, 30)), [50, 2]), ([7, 8], [9])]


@dataclass(frozen=True)
class CountingLoader(Loader):
    """Remembers which weights it has loaded."""

    loaded: list[PreTrainedModel] = field(default_factory=list)

    def load(self, path: str, device="cpu") -> LoadedModel:
        """As `Loader`."""
        found = super().load(path, device)
        self.loaded.append(found.model)
        return found


def logps(model: PreTrainedModel) -> np.ndarray:
    return np.concatenate(score(model, SEQUENCES, tokens_per_batch=100))


def rewards(models: list) -> np.ndarray:
    scored = ImplicitRewardModule(*models, tokens_per_batch=100).predict_step(SEQUENCES)
    return np.concatenate([np.stack(sides) for sides in scored], axis=1)


def elements(*models: PreTrainedModel) -> int:
    """Weights in memory, those that models share counted once."""
    storages = {p.data_ptr(): p.numel() for model in models for p in model.parameters()}
    return sum(storages.values())


def state(model: PreTrainedModel) -> dict:
    """All that a training could notice."""
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    trained = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    return {"weights": weights, "trained": trained, "identities": [id(p) for p in model.parameters()],
            "mode": model.training, "active": model.active_adapters()}  # fmt: skip


def assert_same_state(before: dict, after: dict) -> None:
    weights, others = before.pop("weights"), after.pop("weights")
    assert list(weights) == list(others)
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    assert before == after


@pytest.fixture(scope="module")
def base(model_folder) -> str:
    """A model's folder."""
    return str(model_folder("llama", hidden_size=64))


@pytest.fixture(scope="module")
def other(model_folder) -> str:
    """Another model's."""
    return str(model_folder("llama", seed=7, hidden_size=64))


@pytest.fixture(scope="module")
def adapter(base, tmp_path_factory):
    """`adapter(seed)`: the folder of an adapter on `base`."""

    def make(seed: int) -> str:
        folder = tmp_path_factory.mktemp("adapters") / str(seed)
        start = Loader(adapter=Lora(r=2 + seed)).load_for_training(base, seed=seed)
        generator = torch.Generator().manual_seed(seed)
        for parameter in start.model.parameters():
            if parameter.requires_grad:
                parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
        start.save(folder)
        return str(folder)

    paths = {seed: make(seed) for seed in (0, 1)}
    return paths.__getitem__


@pytest.mark.parametrize("which", ["base", "own", "other"])
def test_one_set_of_weights_is_what_several_models_are_apart(base, adapter, which):
    host = Loader(adapter=Lora(r=2), frozen=("q_proj",)).load_for_training(adapter(0), seed=0)
    host.model.train()
    path = {"base": base, "own": adapter(0), "other": adapter(1)}[which]
    before, alone = state(host.model), logps(Loader().load(path).model)
    with residency.as_on(host, path) as model:
        assert model is host.model
        np.testing.assert_allclose(logps(model), alone, rtol=0, atol=1e-6)
    assert_same_state(before, state(host.model))
    np.testing.assert_allclose(logps(host.model), logps(Loader().load(adapter(0)).model), rtol=0, atol=1e-6)
    assert not np.allclose(logps(host.model), logps(Loader().load(base).model), atol=1e-2)


def test_a_host_is_itself_again_after_an_error(base, adapter):
    host = Loader(adapter=Lora()).load_for_training(base, seed=0)
    before = state(host.model)
    for path in (base, adapter(0)):
        with pytest.raises(KeyError), residency.as_on(host, path):
            raise KeyError
        assert_same_state(dict(before), state(host.model))


def test_a_fresh_adapters_reference_is_its_model(base):
    """In round 0 policy and base have one path; the policy moves on, the base does not."""
    host = Loader(adapter=Lora(r=2)).load_for_training(base, seed=0)
    for name, parameter in host.model.named_parameters():
        if "lora_B" in name:
            parameter.data += 0.1
    with residency.beside(Loader(), base, host) as reference:
        assert reference.model is host.model
        np.testing.assert_allclose(logps(reference.model), logps(Loader().load(base).model), rtol=0, atol=1e-6)
    assert not np.allclose(logps(host.model), logps(Loader().load(base).model), atol=1e-2)


def test_a_reference_with_weights_of_its_own_is_loaded_and_let_go(base, other):
    host = Loader(adapter=Lora()).load_for_training(base, seed=0)
    with residency.beside(Loader(), other, host) as reference:
        assert np.array_equal(logps(reference.model), logps(Loader().load(other).model))
        assert elements(reference.model) > 0
    assert elements(reference.model) == 0


PAIRS = {
    "two models": (("base", "other"), {"adapter": 1, "all weights": 2}),
    "base and its adapter": (("a0", "base"), {"adapter": 0, "all weights": 1}),
    "two adapters": (("a0", "a1"), {"adapter": 0, "all weights": 1}),
    "adapter and another model": (("a1", "other"), {"adapter": 1, "all weights": 2}),
}
"""Reward pairs, and the models that are loaded for them beside a policy on `base`, by what it trains."""


@pytest.mark.parametrize("kind", PAIRS)
@pytest.mark.parametrize("training", ["adapter", "all weights"])
def test_rewards_are_the_same_however_the_pair_lies_in_memory(base, other, adapter, kind, training):
    paths = {"base": base, "other": other, "a0": adapter(0), "a1": adapter(1)}
    names, loaded = PAIRS[kind]
    pair = (paths[names[0]], paths[names[1]])
    expected = rewards([Loader().load(path).model for path in pair])
    settings = Loader(adapter=Lora() if training == "adapter" else None)
    host = settings.load_for_training(base, seed=0)
    for alone in (False, True):
        loader = CountingLoader(adapter=settings.adapter)
        models = residency.reward_pair(loader, pair, host, "cpu", one_at_a_time=alone)
        np.testing.assert_allclose(rewards(models), expected, rtol=0, atol=1e-6)
        if alone:
            assert elements(*loader.loaded) == 0
        else:
            assert len(loader.loaded) == loaded[training]


def weights(path: str, base: str | None = None, *, quantised: bool = False) -> residency.Weights:
    return residency.Weights(path, base, quantised)


@pytest.mark.parametrize(
    ("trained", "pair", "both", "one"),
    [
        (weights("b"), [weights("b"), weights("o")], [1, 2], [1, 2]),
        (weights("a0", "b"), [weights("a0", "b"), weights("o")], [0, 2], [0, 2]),
        (weights("a0", "b"), [weights("b"), weights("a1", "b")], [0, 0], [0, 0]),
        (weights("b"), [weights("a0", "b"), weights("a1", "b")], [1, 1], [1, 2]),
        (weights("b"), [weights("a0", "b"), weights("b")], [1, 1], [1, 2]),
        (weights("a0", "b", quantised=True), [weights("b"), weights("a1", "b", quantised=True)], [1, 0], [1, 0]),
    ],
    ids=["two models", "own adapter", "adapter trained", "two adapters", "adapter and its base", "fewer bits"],
)
def test_whose_weights_the_pair_uses(trained, pair, both, one):
    assert residency.hosts(trained, pair, one_at_a_time=False) == both
    assert residency.hosts(trained, pair, one_at_a_time=True) == one


@pytest.mark.parametrize(
    ("alone", "offloads", "expected"),
    [(False, True, [[0, 1, 2]]), (True, False, [[0], [0, 1], [0, 2]]), (True, True, [[0], [1], [2]])],
)
def test_models_that_are_in_memory_together(alone, offloads, expected):
    assert residency.together([1, 2], one_at_a_time=alone, offloads=offloads) == expected
    assert residency.together([0, 0], one_at_a_time=alone, offloads=offloads) == [[0]]


def test_at_most_one_model_of_the_pair_is_in_memory(base, other):
    host = Loader().load(base)
    loader = CountingLoader()
    (policy, reference) = residency.reward_pair(loader, (base, other), host, "cpu", one_at_a_time=True)
    assert loader.loaded == []
    for number, opener in enumerate((policy, reference), 1):
        with opener() as model:
            assert len(loader.loaded) == number
            assert elements(*loader.loaded) == elements(model) > 0
        assert elements(*loader.loaded) == 0


def test_weights_of_other_precision_are_not_shared_in_a_reward(base, adapter):
    """A reward that compares 4 bits with 32 would be their difference."""
    exact, four = Quantisation(), Quantisation(everything=True)
    for quantisation, expected in ((exact, 1), (four, 0)):
        lora = Lora(r=2, quantisation=quantisation)
        host = Loader(adapter=lora).load_for_training(base, seed=0)
        loader = CountingLoader(adapter=lora)
        residency.reward_pair(loader, (base, base), host, "cpu", one_at_a_time=False)
        assert len(loader.loaded) == 2 * expected
        with residency.beside(loader, base, host) as reference:
            assert reference.model is host.model


def test_quantised_weights_can_be_let_go(base):
    lora = Lora(quantisation=Quantisation(everything=True))
    with residency.visiting(Loader(adapter=lora), base, Loader().load(base), "cpu") as model:
        assert model.is_quantized
    assert elements(model) == 0


def test_nothing_is_moved_from_a_cpu(base):
    model = Loader().load(base).model
    before = [parameter.data_ptr() for parameter in model.parameters()]
    with offloaded(model):
        assert [parameter.data_ptr() for parameter in model.parameters()] == before
    assert [parameter.data_ptr() for parameter in model.parameters()] == before
