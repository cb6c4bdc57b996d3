"""From choices to pairs: whose tokens, whose partner, whose log-probs, and what is counted."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from icr.errors import RunError
from icr.logps import score
from icr.models.loading import LoadedModel, Loader
from icr.rewards import BestWorst, DisjointPairs, NoLengthControl, RandomPair, choose_pairs
from icr.rewards.pairing import SAME_TEXT
from icr.rounds import pairs
from icr.types import Demonstration, Preference, PreferencePair
from tests.e2e import tiny
from tests.rounds.rows import pair, prompt, response, scored
from tests.tiny_training import referenced


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> LoadedModel:
    """A tiny model."""
    return Loader().load(tiny.byte_llama(tmp_path_factory.mktemp("model") / "m", 3, context=256))


def partners(rows: list) -> list[str]:
    """Partner of each pair."""
    return [row.partner for row in pairs.with_partners(rows)]


def test_a_partner_is_the_next_prompt_of_the_language():
    rows = [pair(id, language, prompt_ids=[1, ord(id)]) for id in "abc" for language in ("sw", "th")]
    assert partners(rows) == ["sw/b/0/1", "th/b/0/1", "sw/c/0/1", "th/c/0/1", "sw/a/0/1", "th/a/0/1"]


def test_a_partner_is_never_of_the_same_prompt():
    rows = [pair("a", chosen_k=k, prompt_ids=[1]) for k in (0, 2, 4)] + [pair("b", prompt_ids=[2])]
    assert partners(rows) == ["sw/b/0/1"] * 3 + ["sw/a/0/1"]


def test_a_single_prompt_has_no_partner_to_give():
    assert partners([pair("a", chosen_k=0), pair("a", chosen_k=2), pair("a", "th")]) == ["", "", ""]


def test_a_partner_leaves_the_prompt_room_within_the_context():
    """The next prompt's responses are too long under this one; where nobody's fit, a pair stays without."""
    rows = [
        pair("a", prompt_ids=[1] * 10, chosen_ids=[3, 2], rejected_ids=[2]),
        pair("b", prompt_ids=[2], chosen_ids=[3] * 14, rejected_ids=[2]),
        pair("c", prompt_ids=[3] * 4, chosen_ids=[3, 2], rejected_ids=[3] * 5),
        pair("d", prompt_ids=[4] * 13, chosen_ids=[2], rejected_ids=[2]),
    ]
    assert partners(rows) == ["sw/b/0/1", "sw/c/0/1", "sw/d/0/1", "sw/a/0/1"]
    fitting = pairs.with_partners(rows, context=15)
    assert [row.partner for row in fitting] == ["sw/c/0/1", "sw/c/0/1", "sw/d/0/1", "sw/a/0/1"]
    assert [row.partner for row in pairs.with_partners(rows, context=14)][3] == ""
    by_key = {row.key: row for row in fitting}
    for row in fitting:
        theirs = by_key[row.partner]
        assert len(row.prompt_ids) + max(len(theirs.chosen_ids), len(theirs.rejected_ids)) <= 15


def log_prob(model: LoadedModel, prompt_ids: list[int], response_ids: list[int]) -> float:
    """Of one sequence alone."""
    return float(np.sum(score(model.model, [(prompt_ids, response_ids)], tokens_per_batch=1)[0], dtype=np.float64))


def with_logps(rows: list, model: LoadedModel, *, mismatched: bool) -> list:
    """The training reference's log-probs."""
    done: list[int] = []
    made = referenced(rows, model, partners=mismatched, on_batch=done.append, micro=2, batch=2)
    assert sum(done) == len(rows)
    return made


def test_reference_log_probs_go_where_they_belong(model: LoadedModel):
    """With a pair in the middle that has no partner."""
    rows = pairs.with_partners(
        [
            pair("a", prompt_ids=[10], chosen_ids=[11, 256], rejected_ids=[12, 256]),
            pair("a", "th", prompt_ids=[20, 21], chosen_ids=[22, 256], rejected_ids=[256]),
            pair("b", prompt_ids=[30], chosen_ids=[31, 32, 33, 256], rejected_ids=[34, 256]),
        ]
    )
    assert [bool(row.partner) for row in rows] == [True, False, True]
    made = with_logps(rows, model, mismatched=True)
    by_key = {row.key: row for row in rows}
    for row in made:
        assert row.reference_chosen_logp == pytest.approx(log_prob(model, row.prompt_ids, row.chosen_ids), abs=1e-5)
        assert row.reference_rejected_logp == pytest.approx(log_prob(model, row.prompt_ids, row.rejected_ids), abs=1e-5)
        for side in ("chosen", "rejected"):
            value = getattr(row, f"reference_partner_{side}_logp")
            theirs = getattr(by_key.get(row.partner), f"{side}_ids", None)
            assert value == pytest.approx(log_prob(model, row.prompt_ids, theirs) if theirs else 0.0, abs=1e-5)
    plain = with_logps(rows, model, mismatched=False)
    assert [row.reference_partner_chosen_logp for row in plain] == [0.0] * 3


@pytest.mark.parametrize(("where", "bad"), [("chosen_ids", "sw/a/0/1"), ("rejected_ids", "th/c/0/1")])
def test_log_probs_that_are_not_finite_name_the_pair(model: LoadedModel, tmp_path: Path, where: str, bad: str):
    rows = {id: pair(id, language, prompt_ids=[10], chosen_ids=[11, 256], rejected_ids=[12, 256])
            for id, language in (("a", "sw"), ("b", "sw"), ("c", "th"))}  # fmt: skip
    broken = Loader().load(model.path)
    with torch.no_grad():
        broken.model.model.embed_tokens.weight[99] = math.nan
    getattr(rows[bad.split("/")[1]], where)[0] = 99
    with pytest.raises(RunError, match=f"of the pair {bad} are not finite.*{Path(model.path).name}"):
        with_logps(list(rows.values()), broken, mismatched=False)


def choose(responses: list, rewards: list[float], pairing):
    """Pairs of a round, as the callback makes them."""
    rows = [
        scored(r.id, r.language, r.k, reward, tokens=len(r.response_ids))
        for r, reward in zip(responses, rewards, strict=True)
    ]
    choices = pairs.without_identical(choose_pairs(rows, pairing, NoLengthControl()), responses)
    prompts = {(r.id, r.language): prompt(r.id, r.language) for r in responses}
    return choices, pairs.from_choices(choices, responses, rows, prompts)


def test_pairs_carry_the_sampled_tokens():
    responses = [response(k=k, ids=ids) for k, ids in enumerate([(5, 2), (6, 6, 2), (7, 2)])]
    _, (made,) = choose(responses, [0.5, 2.0, -1.0], BestWorst())
    assert (made.chosen_k, made.rejected_k) == (1, 2)
    assert (made.chosen_ids, made.rejected_ids) == ([6, 6, 2], [7, 2])
    assert (made.chosen, made.rejected) == (responses[1].text, responses[2].text)
    assert (made.chosen_reward, made.rejected_reward) == (2.0, -1.0)
    assert (made.chosen_tokens, made.rejected_tokens) == (3, 2)
    assert made.prompt_ids == responses[0].prompt_ids
    assert made.key == "sw/p/1/2"


@pytest.mark.parametrize("pairing", [BestWorst(), DisjointPairs(), RandomPair(seed=0)], ids=lambda p: type(p).__name__)
def test_the_same_tokens_are_never_chosen_and_rejected(pairing):
    """Not even by a reward that tells equal responses apart, as a noisy judge's does."""
    rng = np.random.default_rng(0)
    responses = [response(f"p{n}", language, k, ids=(int(rng.integers(2)), 2))
                 for language in ("sw", "th") for n in range(40) for k in range(2)]  # fmt: skip
    choices, made = choose(responses, rng.normal(size=len(responses)).tolist(), pairing)
    assert made
    assert all(row.chosen_ids != row.rejected_ids for row in made)
    for language, skipped in choices.skipped.items():
        assert skipped[SAME_TEXT] > 0
        assert sum(row.language == language for row in made) + sum(skipped.values()) == 40


def test_counts_add_up_whatever_the_reason():
    responses = [response(f"p{n}", k=k, ids=(5 + k, 2)) for n in range(6) for k in range(3)]
    rewards = [0.0, 0.0, 0.0, *np.arange(15.0)]
    rows = [
        scored(r.id, r.language, r.k, x, usable=r.id != "p5" or r.k == 0)
        for r, x in zip(responses, rewards, strict=True)
    ]
    choices = pairs.without_identical(choose_pairs(rows, BestWorst(), NoLengthControl()), responses)
    assert len(choices.pairs) == 4
    assert Counter(choices.skipped["sw"]) == {"all rewards equal": 1, "fewer than two usable": 1}


def test_written_pairs_end_their_turns(model: LoadedModel):
    renderer = model.renderer
    (shown,) = pairs.from_given([Demonstration("0", "sw", "Taja", "ndiyo")], renderer)
    assert shown.chosen_ids == renderer.response_ids("ndiyo")
    assert shown.chosen_ids[-1] == renderer.end_of_turn_id
    assert (shown.rejected, shown.rejected_ids, shown.rejected_tokens) == ("", [], 0)
    (begun,) = pairs.from_given([Demonstration("0", "sw", "Taja", "ndiyo", cut=True)], renderer)
    assert [*begun.chosen_ids, renderer.end_of_turn_id] == shown.chosen_ids
    (labelled,) = pairs.from_given([Preference("0", "en", "Say", "yes", "no")], renderer)
    (cut,) = pairs.from_given([Preference("0", "en", "Say", "yes", "no", cut=True)], renderer)
    assert [*cut.chosen_ids, renderer.end_of_turn_id] == labelled.chosen_ids
    assert [*cut.rejected_ids, renderer.end_of_turn_id] == labelled.rejected_ids
    assert labelled.rejected_ids == renderer.response_ids("no")
    assert labelled.prompt_ids == renderer.prompt_ids("Say")


def test_examples_longer_than_the_context_are_counted():
    row = PreferencePair("a", "sw", "", "", "", prompt_ids=[1, 2], chosen_ids=[3], rejected_ids=[4, 5])
    within_context = pairs.within_context
    assert within_context([row], 4) == ([row], {})
    assert within_context([row, replace(row, id="b", language="th")], 3) == (
        [],
        {"sw": {"longer than the context": 1}, "th": {"longer than the context": 1}},
    )
    assert within_context([row], None) == ([row], {})
