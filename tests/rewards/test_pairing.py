from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from icr.rewards import (
    Band,
    BestWorst,
    Candidates,
    Choice,
    DisjointPairs,
    LengthControl,
    NoLengthControl,
    RandomPair,
    apply_gate,
    choose_pairs,
    group_by_prompt,
)


def test_best_and_worst_after_length_control(scored):
    responses = scored([(3.0, 20), (2.0, 5), (1.0, 2), (1.5, 1)])
    assert BestWorst()(Candidates(responses)) == [(0, 2)]
    # s = 1, 1.5, 0.8, 1.4
    assert BestWorst()(Candidates(responses, alpha=0.1)) == [(1, 2)]
    # s = -5, -0, 0.2, 1.1 in characters
    assert BestWorst()(Candidates(responses, alpha=0.1, unit="characters")) == [(3, 0)]


def test_ties_go_to_the_lowest_k(scored):
    assert BestWorst()(Candidates(scored([(1.0, 1), (2.0, 1), (2.0, 1), (1.0, 1)]))) == [(1, 0)]


def test_k_is_named_and_not_the_position(scored):
    responses = [replace(response, k=10 + response.k) for response in scored([(1.0, 1), (2.0, 1)])]
    assert BestWorst()(Candidates(responses)) == [(11, 10)]
    assert DisjointPairs()(Candidates(responses)) == [(11, 10)]
    assert set(RandomPair(seed=0)(Candidates(responses))[0]) == {10, 11}


@pytest.mark.parametrize(
    ("candidates", "settings", "context", "outcome"),
    [
        ([(1.0, 5), (None, 5)], {}, {}, "fewer than two usable"),
        ([(1.0, 5), (1.0, 9)], {}, dict(alpha=0.5), "all rewards equal"),
        ([(1.0, 2), (1.5, 3)], {}, dict(alpha=0.5), "all rewards equal"),
        ([(5.0, 5), (4.0, 9)], {}, dict(upper_bound=4.0), "no candidate below upper_bound"),
        ([(5.0, 5), (3.0, 9)], {}, dict(upper_bound=4.0), "no candidate below upper_bound"),
        ([(5.0, 5), (3.5, 5), (3.0, 9)], {}, dict(upper_bound=4.0), (1, 2)),
        ([(5.0, 5), (4.0, 9)], {}, dict(upper_bound=4.0, alpha=0.25), (0, 1)),
        ([(1.0, 5), (1.5, 5)], dict(minimum_margin=0.75), {}, "margin too small"),
        ([(1.0, 5), (1.5, 5)], dict(minimum_margin=0.5), {}, (1, 0)),
        ([(1.0, 5), (1.5, 6)], dict(minimum_margin=0.5), dict(alpha=0.1), "margin too small"),
        ([(1.0, 5), (1.5, 5)], dict(drop_duplicates=True), dict(texts={0: "a", 1: "a"}), "chosen equals rejected"),
        ([(1.0, 5), (1.5, 5)], dict(drop_duplicates=True), dict(texts={0: "a", 1: "b"}), (1, 0)),
        ([(1.0, 5), (1.5, 5)], {}, dict(texts={0: "a", 1: "a"}), (1, 0)),
    ],
)
@pytest.mark.parametrize("strategy", [BestWorst, DisjointPairs])
def test_each_outcome(scored, strategy, candidates, settings, context, outcome):
    if strategy is DisjointPairs and len(candidates) > 2:
        candidates, outcome = candidates[1:], (0, 1)
    assert strategy(**settings)(Candidates(scored(candidates), **context)) == [outcome]


def test_disjoint_pairs_are_ordered_by_score_and_leave_the_odd_one(scored):
    responses = scored([(1.0, 1), (2.0, 1), (4.0, 1), (3.0, 1), (None, 1), (5.0, 1), (9.0, 1)])
    assert DisjointPairs()(Candidates(responses)) == [(1, 0), (2, 3), "fewer than two usable"]
    assert DisjointPairs()(Candidates(responses[:1])) == ["fewer than two usable"]


def test_random_pair_is_a_function_of_seed_round_language_and_prompt(scored):
    def draws(seed=1, round=0, language="sw", reward=0.0):
        prompts = [scored([(reward, 1), (0.0, 1), (None, 1), (0.0, 1)], str(n), language) for n in range(200)]
        return [RandomPair(seed)(Candidates(prompt, round=round))[0] for prompt in prompts]

    base = draws()
    assert base == draws(reward=5.0)
    for other in (draws(seed=2), draws(round=1), draws(language="de")):
        assert base != other
    counts = Counter(base)
    assert set(counts) == {(a, b) for a in (0, 1, 3) for b in (0, 1, 3) if a != b}
    assert min(counts.values()) > 15


def test_random_pair_is_the_same_in_every_process_and_version(scored):
    drawn = [RandomPair(3)(Candidates(scored([(0.0, 1)] * 6, str(n), "th")))[0] for n in range(6)]
    assert drawn == [(1, 5), (5, 0), (1, 3), (0, 3), (5, 2), (2, 5)]


def test_random_pair_skips(scored):
    assert RandomPair(0)(Candidates(scored([(1.0, 1), (None, 1)]))) == ["fewer than two usable"]
    same = Candidates(scored([(1.0, 1), (2.0, 1)]), texts={0: "a", 1: "a"})
    assert RandomPair(0, drop_duplicates=True)(same) == ["chosen equals rejected"]
    assert RandomPair(0)(same) in ([(0, 1)], [(1, 0)])


def test_choices_of_all_languages_with_their_counts(scored):
    responses = [
        *scored([(1.0, 5), (2.0, 5)], "a", "sw"),
        *scored([(1.0, 5), (1.0, 5)], "b", "sw"),
        *scored([(1.0, 5), (None, 5)], "c", "sw"),
        *scored([(None, 5)], "d", "sw"),
        *scored([(9.0, 5), (2.0, 5)], "a", "de"),
    ]
    choices = choose_pairs(reversed(responses), BestWorst(), NoLengthControl())
    assert choices.pairs == [Choice("a", "de", 0, 1), Choice("a", "sw", 1, 0)]
    assert choices.skipped == {"de": {}, "sw": {"fewer than two usable": 2, "all rewards equal": 1}}
    assert list(choices.length_control) == ["de", "sw"]


candidate = st.tuples(st.one_of(st.none(), st.integers(-3, 3).map(float)), st.integers(1, 9))


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    prompts=st.lists(
        st.tuples(st.sampled_from(["sw", "de"]), st.lists(candidate, min_size=1, max_size=5)), max_size=12
    ),
    strategy=st.sampled_from([BestWorst(), BestWorst(1.5, True), RandomPair(0), RandomPair(0, True)]),
    control=st.sampled_from([LengthControl(), NoLengthControl(), LengthControl("bytes", upper_bound=1.0)]),
)
def test_pairs_and_skips_add_up_to_prompts(scored, prompts, strategy, control):
    responses = [r for n, (language, c) in enumerate(prompts) for r in scored(c, str(n), language)]
    texts = {(r.id, r.language, r.k): "even" if r.tokens % 2 == 0 else "odd" for r in responses}
    choices = choose_pairs(responses, strategy, control, texts=texts)
    usable = {(r.id, r.language, r.k) for r in responses if r.usable}
    for language in {language for language, _ in prompts}:
        pairs = [pair for pair in choices.pairs if pair.language == language]
        total = sum(1 for l, _ in prompts if l == language)
        assert len(pairs) + sum(choices.skipped[language].values()) == total
    for pair in choices.pairs:
        assert pair.chosen_k != pair.rejected_k
        assert {(pair.id, pair.language, k) for k in (pair.chosen_k, pair.rejected_k)} <= usable


def test_chosen_is_below_the_bound_and_never_index_0_by_default(scored):
    responses = scored([(9.0, 5), (8.0, 5), (7.0, 5)], "none") + scored([(9.0, 5), (3.0, 5), (1.0, 5)], "some")
    choices = choose_pairs(responses, BestWorst(), NoLengthControl(upper_bound=4.0))
    assert choices.pairs == [Choice("some", "sw", 1, 2)]
    assert choices.skipped == {"sw": {"no candidate below upper_bound": 1}}


def test_a_score_at_the_bound_is_not_below_it(scored):
    candidates = Candidates(scored([(5.0, 5), (4.0, 5), (3.0, 5)]), upper_bound=4.0)
    assert BestWorst()(candidates) == ["no candidate below upper_bound"]
    assert BestWorst()(replace(candidates, upper_bound=4.01)) == [(1, 2)]


def test_unusable_responses_need_no_text(scored):
    responses, texts = scored([(1.0, 1), (2.0, 1), (None, 1)]), {("p", "sw", 0): "a", ("p", "sw", 1): "b"}
    pairs = choose_pairs(responses, BestWorst(drop_duplicates=True), NoLengthControl(), texts=texts).pairs
    assert pairs == [Choice("p", "sw", 1, 0)]


def test_round_reaches_the_strategy(scored):
    responses = [r for n in range(40) for r in scored([(1.0, 1), (2.0, 1), (3.0, 1)], str(n))]
    first, again, second = (choose_pairs(responses, RandomPair(0), NoLengthControl(), round=t).pairs for t in (0, 0, 1))
    assert first == again != second


def test_a_gate_takes_out_responses_before_length_control(scored):
    responses = scored([(9.0, 90), (2.0, 5), (1.0, 5), (None, 5)])
    texts = {("p", "sw", k): text for k, text in enumerate(["this is English", "habari", "jambo", "?"])}
    asked = []

    def is_language(language: str, text: str) -> bool:
        asked.append((language, text))
        return "English" not in text

    gated = apply_gate(responses, texts, is_language, "other language")
    assert asked == [("sw", "this is English"), ("sw", "habari"), ("sw", "jambo")]
    assert [(r.usable, r.reason) for r in gated] == [(False, "other language"), (True, ""), (True, ""), (False, "cut")]
    choices = choose_pairs(gated, BestWorst(), LengthControl())
    assert choices.pairs == [Choice("p", "sw", 1, 2)]
    assert choices.length_control["sw"].bias_before == 0


@pytest.mark.parametrize("reward", [math.nan, math.inf, -math.inf])
def test_a_non_finite_reward_is_named(scored, reward):
    responses = scored([(1.0, 5), (2.0, 5)], "a") + scored([(1.0, 5), (reward, 5)], "b", "th")
    with pytest.raises(ValueError, match=f"reward must be finite, got {reward} for prompt 'b', language 'th', k 1"):
        choose_pairs(responses, BestWorst(), NoLengthControl())
    # One that may not be chosen anyway may be without a reward.
    responses[3] = replace(responses[3], usable=False)
    assert choose_pairs(responses, BestWorst(), NoLengthControl()).skipped["th"] == {"fewer than two usable": 1}


def test_two_responses_of_one_k_are_refused(scored):
    with pytest.raises(ValueError, match="two scored responses for prompt 'p', language 'sw', k 0"):
        group_by_prompt(scored([(1.0, 5)]) * 2)


def test_groups_are_by_language_and_prompt_in_order_of_k(scored):
    responses = scored([(1.0, 5), (2.0, 5)], "a") + scored([(3.0, 5)], "a", "de")
    groups = group_by_prompt(reversed(responses))
    assert list(groups) == ["de", "sw"]
    assert [r.k for r in groups["sw"]["a"]] == [0, 1]


@pytest.mark.parametrize("strategy", [BestWorst(drop_duplicates=True), RandomPair(0, drop_duplicates=True)])
def test_duplicates_cannot_be_dropped_without_texts(scored, strategy):
    with pytest.raises(ValueError, match="drop_duplicates needs the texts"):
        strategy(Candidates(scored([(1.0, 5), (2.0, 5)])))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BestWorst(minimum_margin=-1), "^minimum_margin must be at least 0, got -1$"),
        (lambda: DisjointPairs(minimum_margin=math.nan), "^minimum_margin must be a finite number or None, got nan$"),
        (lambda: BestWorst(minimum_margin="1"), "^minimum_margin must be a finite number or None, got '1'$"),
        (lambda: RandomPair(seed=1.5), "^seed must be an integer, got 1.5$"),
        (lambda: RandomPair(seed=None), "^seed must be an integer, got None$"),
        (lambda: RandomPair(seed=True), "^seed must be an integer, got True$"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("rewards", "pair"),
    [
        # Mean 1, sd 3, so the band is at −5: beyond the worst, as for few samples it nearly always is.
        ([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 10.0], (9, 0)),
        # Mean −11.6, sd 33.5, band at −78.6.
        ([4.0, 3.0, 2.0, 1.0, 0.0, -1.0, -2.0, -100.0], (0, 7)),
        # Twenty at 0, one at 1, one at −3 and one at −1: mean −0.13, sd 0.68, band at −1.49: the one at −1, not at −3.
        ([0.0] * 20 + [1.0, -3.0, -1.0], (20, 22)),
    ],
)
def test_band_by_hand(scored, rewards, pair):
    """CroCo's rule with numpy's mean and standard deviation, over all of a prompt's samples."""
    target = np.mean(rewards) - 2 * np.std(rewards)
    best = int(np.argmax(rewards))
    below = [k for k, value in enumerate(rewards) if value < rewards[best]]
    assert pair == (best, min(below, key=lambda k: (abs(rewards[k] - target), k)))
    assert Band()(Candidates(scored([(value, 5) for value in rewards]))) == [pair]


def test_band_is_of_penalised_scores_of_the_usable(scored):
    """s = 4, 1, −2, −8 at α = 0.1; mean −1.25, sd 4.44: the band is at −10.1; d = 0.5 puts it at −3.5."""
    candidates = Candidates(scored([(5.0, 10), (2.0, 10), (None, 1), (-1.0, 10), (-7.0, 10)]), alpha=0.1)
    assert Band()(candidates) == [(0, 4)]
    assert Band(deviations=0.5)(candidates) == [(0, 3)]


def test_band_with_two_samples_is_best_and_worst(scored):
    responses = scored([(1.0, 5), (3.0, 5)])
    assert Band()(Candidates(responses)) == BestWorst()(Candidates(responses)) == [(1, 0)]
    assert Band()(Candidates(scored([(1.0, 5), (1.0, 5)]))) == ["all rewards equal"]
    with pytest.raises(ValueError, match=r"^deviations must be at least 0, got -1$"):
        Band(deviations=-1)


@pytest.mark.parametrize("strategy", [BestWorst(), Band(), DisjointPairs()])
@pytest.mark.parametrize(
    ("second", "alpha", "outcome"),
    [
        ({0: 5.0, 1: 4.0}, 0.0, (0, 1)),
        ({0: 4.0, 1: 5.0}, 0.0, "rewards disagree"),
        ({0: 4.0, 1: 4.0}, 0.0, "rewards disagree"),
        ({0: math.nan, 1: 4.0}, 0.0, "rewards disagree"),
        # One penalty for both: 5 − 0.1 · 10 = 4 against 4.5 − 0.1 · 2 = 4.3.
        ({0: 5.0, 1: 4.5}, 0.1, "rewards disagree"),
    ],
)
def test_a_second_reward_has_to_agree(scored, strategy, second, alpha, outcome):
    responses = scored([(3.0, 10), (1.0, 2)])
    assert strategy(Candidates(responses, alpha=alpha, second=second)) == [outcome]


def test_pairs_on_which_rewards_disagree_are_counted(scored):
    responses = [*scored([(3.0, 5), (1.0, 5)], "a"), *scored([(3.0, 5), (1.0, 5)], "b")]
    second = {(r.id, r.language, r.k): float(r.k if r.id == "b" else -r.k) for r in responses}
    choices = choose_pairs(responses, BestWorst(), NoLengthControl(), second=second)
    assert choices.pairs == [Choice("a", "sw", 0, 1)]
    assert choices.skipped == {"sw": {"rewards disagree": 1}}
    assert choices.length_control["sw"].pairs.tolist() == [1]
    at_random = choose_pairs(responses, RandomPair(0), NoLengthControl(), second=second)
    assert len(at_random.pairs) == 2
