"""Before its first use a model is held to its own forward pass; what disagrees is not used, and numbers are right."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from icr import distributed
from icr.errors import ModelError
from icr.logps import joined, joins_rows, lay_out, require_calm_training, score, settle, shares_prompts, token_logps
from icr.logps import ways as found_out
from icr.logps.trial import CERTAIN, try_ways
from icr.logps.ways import ways_of
from icr.logps.windows import SHORT, shortened
from tests.families.tiny import build

END = 2
OWN_HEAD = ["recurrent_gemma", "inkling_text", "bert", "llama4_text"]
DROPS_THE_WINDOW = ["phimoe", "doge", "falcon"]


@pytest.fixture
def sequences(ids_of):
    """Two prompts, one far longer than every window, each with answers that share it."""
    ids = {(length, seed): [token % 110 + 5 for token in ids_of(length, seed)] for length, seed in [(90, 0), (7, 1)]}
    answers = [[*(token % 110 + 5 for token in ids_of(length, length)), END] for length in (0, 5, 30)]
    return [(prompt, answer) for prompt in ids.values() for answer in answers]


@pytest.mark.parametrize("family", [*DROPS_THE_WINDOW, "xlstm", "gpt_neo", "mamba", "bart"])
def test_numbers_are_the_models_own_in_every_family(plain, sequences, family):
    model = build(family)
    got = score(model, sequences, tokens_per_batch=1000)
    with torch.no_grad():
        for values, sequence in zip(got, sequences, strict=True):
            np.testing.assert_allclose(values, plain(model, *sequence).numpy(), rtol=0, atol=3e-5)


@pytest.mark.parametrize("family", OWN_HEAD)
def test_a_head_that_is_more_than_its_weights_is_called_by_the_model(family, sequences, plain, caplog):
    """Caps, scales and transforms under names that the engine does not know; said once, and trained through too."""
    model = build(family)
    with caplog.at_level("WARNING"):
        values = token_logps(model, lay_out(sequences[:3], [[0, 1, 2]]))
        token_logps(model, lay_out(sequences[3:]))
    assert len([record for record in caplog.records if "by its own forward pass alone" in record.message]) == 1
    gradient = torch.autograd.grad(values.sum(), model.get_input_embeddings().weight)[0]
    expected = torch.cat([plain(model, *sequence) for sequence in sequences[:3]])
    exact = torch.autograd.grad(expected.sum(), model.get_input_embeddings().weight)[0]
    torch.testing.assert_close(values, expected, rtol=0, atol=3e-5)
    torch.testing.assert_close(gradient, exact, rtol=1e-3, atol=1e-4 * float(exact.abs().max()))


@pytest.mark.parametrize("family", DROPS_THE_WINDOW)
def test_joined_rows_that_drop_the_window_or_the_bias_are_left(family):
    model = build(family)
    assert joined.may_join(model)
    assert not joins_rows(model)


def test_a_window_that_is_longer_than_what_is_tried_is_cut_short_and_seen(make_model, monkeypatch):
    """A joined row that forgets a window of 500 tokens; the sequences that are tried have 320."""
    right, real = make_model("mistral", sliding_window=500), joined._lower_right
    assert joins_rows(right)
    assert right.config.sliding_window == 500
    monkeypatch.setattr(joined, "_lower_right", lambda rows, columns, window: real(rows, columns, None))
    assert not joins_rows(make_model("mistral", sliding_window=501))


def test_windows_are_as_they_were_whatever_happens(make_model):
    model = make_model("gemma3_text", sliding_window=400)
    layer = next(module for module in model.modules() if getattr(module, "sliding_window", None) == 400)
    with shortened(model) as windows:
        assert (windows, layer.sliding_window, model.config.sliding_window) == ([400], SHORT, SHORT)
    with pytest.raises(KeyboardInterrupt), shortened(model):
        raise KeyboardInterrupt
    assert layer.sliding_window == model.config.sliding_window == 400


def test_what_sees_the_future_is_refused_with_a_reason(sequences):
    model = build("bert")
    for module in model.modules():
        if hasattr(module, "is_causal"):
            module.is_causal = False
    model.config.is_decoder = False
    with pytest.raises(ModelError, match=r"BertLMHeadModel: its log-prob of a token depends on the tokens after it"):
        score(model, sequences, tokens_per_batch=1000)


def test_what_cannot_be_run_is_refused_with_a_reason(make_model, sequences, monkeypatch):
    model = make_model()
    monkeypatch.setattr(model, "forward", lambda input_ids, pixels: None)
    with pytest.raises(ModelError, match=r"it cannot be run on token ids alone \(.*pixels"):
        score(model, sequences, tokens_per_batch=1000)


@pytest.mark.parametrize("family", ["llama", "mixtral"])
def test_the_tolerance_is_that_of_the_precision(family):
    """In bfloat16 a few hundredths of a nat on a tiny model, and no path is lost; in float32 next to nothing."""
    exact, rough, mixed = build(family), build(family).to(torch.bfloat16), build(family)
    results = [try_ways(exact), try_ways(rough)]
    with torch.autocast("cpu", torch.bfloat16):
        results.append(try_ways(mixed))
    assert results[0].tolerance == CERTAIN
    assert all(0.01 < result.tolerance < 0.05 for result in results[1:])
    assert len({(one.head, one.together, one.shares, one.joins) for one in results}) == 1
    assert all(result.difference < result.tolerance for result in results)


def test_autocast_is_a_setting_of_its_own_that_is_tried_in_it(make_model, monkeypatch):
    model, seen = make_model(), []
    monkeypatch.setattr(
        found_out, "try_ways", lambda model: seen.append(torch.is_autocast_enabled("cpu")) or try_ways(model)
    )
    for _ in range(2):
        shares_prompts(model)
        with torch.autocast("cpu", torch.bfloat16):
            shares_prompts(model)
    other = make_model(seed=1)  # Other weights, from another place, are no other architecture.
    other.config._name_or_path = "elsewhere"
    shares_prompts(other)
    assert seen == [False, True]


def test_the_mode_that_it_is_called_in_does_not_matter(make_model):
    model = make_model()
    model.train()
    model.lm_head.eval()
    modes = [module.training for module in model.modules()]
    with torch.inference_mode():
        within = try_ways(model)
    assert within == try_ways(make_model())
    assert [module.training for module in model.modules()] == modes


def test_gradients_of_a_first_use_under_autocast_are_whole(make_model, sequences):
    """Autocast keeps the weights that it has cast, and with them that no gradient was asked for."""
    first, later = make_model(), make_model()
    for model, tried in [(first, False), (later, True)]:
        with torch.autocast("cpu", torch.bfloat16):
            if tried:
                shares_prompts(model)
        with torch.autocast("cpu", torch.bfloat16):
            token_logps(model, lay_out(sequences)).sum().backward()
    for ours, theirs in zip(first.parameters(), later.parameters(), strict=True):
        assert torch.equal(ours.grad, theirs.grad)


def test_of_weights_that_are_no_numbers_nothing_is_remembered(make_model):
    broken = make_model()
    broken.lm_head.weight.data[3] = torch.nan
    assert not shares_prompts(broken)
    assert shares_prompts(make_model())


def test_ranks_that_differ_agree_on_what_all_can_do(make_model, monkeypatch):
    """Which is asked of them once per model and precision, by all together."""
    asked, ours = [], try_ways(make_model())
    other = type(ours)(head=True, together=True, shares=True, joins=False)

    def all_gather(value):
        asked.append(value)
        return [value, other]

    monkeypatch.setattr(distributed, "all_gather", all_gather)
    model = make_model()
    assert score(model, [], tokens_per_batch=10, all_ranks=True) == []  # An empty share asks with the others.
    settle(model)
    assert asked == [ours]
    assert shares_prompts(model)
    assert not joins_rows(model)


def test_a_rank_that_refuses_refuses_for_all(make_model, monkeypatch):
    monkeypatch.setattr(distributed, "all_gather", lambda value: [value, type(value)(refused="no reason")])
    with pytest.raises(ModelError, match="LlamaForCausalLM: no reason"):
        settle(make_model())


CALM = ["falcon", "persimmon", "mixtral", "gptj", "opt", "bloom"]


@pytest.mark.parametrize("family", CALM)
def test_training_mode_equals_evaluation_mode_once_randomness_is_off(family):
    """Dropout that the configuration has in each forward pass, and jitter of a router, among it."""
    require_calm_training(build(family, random=0.3))


def test_what_stays_random_is_not_trained_and_named():
    """PhiMoE draws its experts, at its stock settings; it can score."""
    model = build("phimoe")
    assert ways_of(model).head
    with pytest.raises(ModelError, match=r"\(phimoe\) cannot be trained: in training mode its log-probs are"):
        require_calm_training(model)


def test_looking_for_randomness_takes_none_of_the_callers(make_model):
    model, before = make_model(), torch.get_rng_state()
    require_calm_training(model)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_model_that_gives_other_numbers_each_time_is_refused(make_model):
    """As Reformer does, which hashes at random in evaluation too."""
    model = make_model()
    model.lm_head.register_forward_hook(lambda module, args, out: out + 0.05 * torch.randn_like(out))
    with pytest.raises(ModelError, match="its log-prob of a token differs from pass to pass"):
        shares_prompts(model)
