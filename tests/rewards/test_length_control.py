"""Length control against its definition worked out in exact fractions, one candidate at a time."""

from __future__ import annotations

import json
import math
import time
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from icr.rewards import (
    Band,
    BestWorst,
    Candidates,
    DisjointPairs,
    LengthControl,
    NoLengthControl,
    RandomPair,
    choose_pairs,
    group_by_prompt,
)
from icr.types import ScoredResponse

# Not where candidates of rewards n/8 and small integer lengths cross.
GRID = [0.0, *((j + 0.3183098861837907) / 400 for j in range(400))]


def by_hand(prompts, alpha, upper_bound):
    """Summed length of chosen, of rejected, and the number of pairs at `alpha`, in exact arithmetic."""
    chosen = rejected = pairs = 0
    for prompt in prompts:
        usable = [r for r in prompt if r.usable]
        if len({r.reward for r in usable}) < 2:
            continue
        s = [Fraction(r.reward) - Fraction(alpha) * r.tokens for r in usable]
        below = [i for i in range(len(s)) if upper_bound is None or s[i] < upper_bound]
        worst = min(range(len(s)), key=lambda i: (s[i], i))
        best = min(below, key=lambda i: (-s[i], i), default=worst)
        if best != worst:
            chosen, rejected, pairs = chosen + usable[best].tokens, rejected + usable[worst].tokens, pairs + 1
    return chosen, rejected, pairs


def bias(sums) -> float:
    return abs(sums[0] - sums[1]) / sums[2] if sums[2] else float("inf")


candidate = st.tuples(st.one_of(st.none(), st.integers(-40, 40).map(lambda n: n / 8)), st.integers(1, 30))
language = st.lists(st.lists(candidate, min_size=1, max_size=5), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(language=language, upper_bound=st.one_of(st.none(), st.integers(-16, 16).map(lambda n: n / 8 + 0.01)))
def test_alpha_is_the_least_that_minimises_the_bias(scored, language, upper_bound):
    prompts = [scored(candidates, id=str(n)) for n, candidates in enumerate(language)]
    result = LengthControl(upper_bound=upper_bound)(prompts)
    assert 0 <= result.alpha < 1
    at_alpha = by_hand(prompts, result.alpha, upper_bound)
    if at_alpha[2]:
        assert abs(result.bias_after) == pytest.approx(bias(at_alpha), abs=1e-12)
    interval = result.starts.searchsorted(result.alpha, side="right") - 1
    for alpha in GRID:
        sums = by_hand(prompts, alpha, upper_bound)
        # The whole curve, not the minimum alone. At 0 exactly it is the first entry, where rewards may be tied.
        j = result.starts.searchsorted(alpha, side="right") - 1 if alpha else 0
        assert result.pairs[j] == sums[2]
        if sums[2]:
            assert result.chosen_length[j] == pytest.approx(sums[0] / sums[2], abs=1e-12)
            assert result.rejected_length[j] == pytest.approx(sums[1] / sums[2], abs=1e-12)
        assert bias(at_alpha) <= bias(sums) + 1e-12
        if alpha < result.starts[interval] or (result.alpha and not alpha):
            assert bias(sums) > bias(at_alpha), "a smaller alpha is as good"


STRATEGIES = [
    Band(),
    Band(deviations=0.5),
    Band(deviations=1.0, minimum_margin=0.501, drop_duplicates=True),
    DisjointPairs(),
    DisjointPairs(minimum_margin=1.001),
    DisjointPairs(drop_duplicates=True),
    BestWorst(minimum_margin=2.001),
    BestWorst(minimum_margin=0.501, drop_duplicates=True),
    BestWorst(drop_duplicates=True),
    RandomPair(3),
    RandomPair(3, drop_duplicates=True),
]
ALPHAS = [0.0, *((j + 0.3183098861837907) / 60 for j in range(60))]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    language=language,
    pairing=st.sampled_from(STRATEGIES),
    upper_bound=st.one_of(st.none(), st.just(1.01)),
    seed=st.one_of(st.none(), st.integers(0, 50)),
)
def test_alpha_and_bias_are_those_of_the_pairs_that_the_strategy_makes(scored, language, pairing, upper_bound, seed):
    """`seed`: of a second reward, by which the pairs that count are ordered the same way; None for none."""
    prompts = {str(n): scored(candidates, id=str(n)) for n, candidates in enumerate(language)}
    flat = [response for prompt in prompts.values() for response in prompt]
    texts = {(r.id, r.language, r.k): "even" if r.tokens % 2 == 0 else str(r.k) for r in flat}
    noise = np.random.default_rng(seed or 0).normal(size=len(flat))
    values = {(r.id, r.language, r.k): r.reward + x for r, x in zip(flat, noise, strict=True)}
    second = None if seed is None else values

    def gaps_at(alpha: float) -> list[int]:
        made = []
        for id, responses in prompts.items():
            own = {r.k: texts[id, r.language, r.k] for r in responses}
            other = None if second is None else {r.k: second[id, r.language, r.k] for r in responses}
            for pair in pairing(Candidates(responses, alpha, "tokens", upper_bound, own, 0, other)):
                if not isinstance(pair, str):
                    made.append(responses[pair[0]].tokens - responses[pair[1]].tokens)
        return made

    found = choose_pairs(
        flat, pairing, LengthControl(upper_bound=upper_bound), texts=texts, second=second
    ).length_control["sw"]
    off = choose_pairs(
        flat, pairing, NoLengthControl(upper_bound=upper_bound), texts=texts, second=second
    ).length_control["sw"]
    for control in (found, off):
        for alpha, told in ((0.0, control.bias_before), (control.alpha, control.bias_after)):
            gaps = gaps_at(alpha)
            assert math.isnan(told) if not gaps else told == pytest.approx(np.mean(gaps), abs=1e-12)
    assert off.alpha == 0
    least = abs(found.bias_after)
    others = {alpha: abs(np.mean(gaps)) for alpha in ALPHAS if (gaps := gaps_at(alpha))}
    assert all(least <= other + 1e-12 for other in others.values())
    interval = found.starts[found.starts.searchsorted(found.alpha, side="right") - 1]
    assert all(least < other - 1e-12 for alpha, other in others.items() if alpha < interval)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(language=language)
def test_pairing_takes_what_was_balanced(scored, language):
    """Rounding flips no choice at `alpha`: the pairs' mean lengths differ by exactly `bias_after`."""
    prompts = {str(n): scored(candidates, id=str(n)) for n, candidates in enumerate(language)}
    flat = [response for prompt in prompts.values() for response in prompt]
    choices = choose_pairs(flat, BestWorst(), LengthControl())
    gaps = [prompts[c.id][c.chosen_k].tokens - prompts[c.id][c.rejected_k].tokens for c in choices.pairs]
    if gaps:
        assert np.mean(gaps) == pytest.approx(choices.length_control["sw"].bias_after, abs=1e-12)


def test_two_candidates_by_hand(scored):
    """r = 3, 1 at 20, 10 tokens: they cross at α = 0.2, where the bias goes from +10 to −10: a tie, so 0 wins."""
    result = LengthControl()([scored([(3.0, 20), (1.0, 10)])])
    assert (result.alpha, result.bias_before, result.bias_after) == (0.0, 10.0, 10.0)
    np.testing.assert_allclose(result.starts, [0, 0.2])
    assert result.chosen_length.tolist() == [20, 10]
    assert result.rejected_length.tolist() == [10, 20]
    assert result.pairs.tolist() == [1, 1]


def test_alpha_is_in_the_middle_of_its_interval(scored):
    """Two prompts that cross at 0.2 and at 0.5: between the two their biases are +10 and −10."""
    result = LengthControl()([scored([(3.0, 20), (1.0, 10)]), scored([(6.0, 20), (1.0, 10)], id="q")])
    assert result.alpha == pytest.approx(0.35)
    assert (result.bias_before, result.bias_after) == (10.0, 0.0)


def test_tied_rewards_part_as_soon_as_alpha_is_above_zero(scored):
    """At 0 the lowest of the tied `k` is chosen (30 tokens); above it the shorter one (12): 2 off 10, not 20."""
    result = LengthControl()([scored([(2.0, 30), (2.0, 12), (-20.0, 10)])])
    assert result.starts[:2].tolist() == [0.0, 0.0]
    assert (result.bias_before, result.bias_after) == (20.0, 2.0)
    assert 0 < result.alpha < 1


@pytest.mark.parametrize(("unit", "factor"), [("tokens", 1), ("characters", 4), ("bytes", 5)])
def test_unit_scales_alpha_and_lengths(scored, unit, factor):
    prompts = [scored([(3.0, 20), (1.0, 10)]), scored([(6.0, 20), (1.0, 10)], id="q")]
    result = LengthControl(unit=unit)(prompts)
    assert result.unit == unit
    assert result.alpha == pytest.approx(0.35 / factor)
    assert result.bias_before == 10 * factor
    off = NoLengthControl(unit=unit)(prompts)
    assert (off.alpha, off.bias_before, off.bias_after, off.starts.tolist()) == (0.0, 10 * factor, 10 * factor, [0.0])


def test_a_signed_difference_is_not_what_is_minimised(scored):
    """The biases along α are 21, 11, 1, −10 and −21; the third is the least in size, the last the least in sign."""
    result = LengthControl()([scored([(10.0, 30), (7.0, 20), (1.5, 9), (2.4, 19)])])
    signed = result.chosen_length - result.rejected_length
    assert signed.min() < -10
    assert abs(result.bias_after) == abs(signed).min() == 1
    assert result.bias_after > signed.min()


def test_opposite_biases_of_two_languages_do_not_cancel(scored):
    """Swahili prefers long answers, German short ones by as much. Pooled they would look unbiased."""
    long = [scored([(3.0, 20), (1.0, 10)], id="a"), scored([(6.0, 20), (1.0, 10)], id="b")]
    short = [
        scored([(1.0, 20), (3.0, 10)], id="a", language="de"),
        scored([(1.0, 20), (6.0, 10)], id="b", language="de"),
    ]
    assert NoLengthControl()([*long, *short]).bias_before == 0
    control = choose_pairs([r for prompt in long + short for r in prompt], BestWorst(), LengthControl()).length_control
    assert (control["sw"].bias_before, control["sw"].bias_after) == (10.0, 0.0)
    # A penalty on length only makes short answers shorter: nothing is better than 0.
    assert (control["de"].alpha, control["de"].bias_after) == (0.0, -10.0)


def test_upper_bound_bars_chosen_and_not_rejected(scored):
    """At α = 0 the best below 4 is r = 3; the bound lets 5 in from α = 0.1 on, and 9 from 0.25 on."""
    prompt = scored([(9.0, 20), (5.0, 10), (3.0, 2), (-30.0, 4)])
    result = LengthControl(upper_bound=4.0)([prompt])
    assert result.bias_before == 2 - 4
    np.testing.assert_allclose(result.starts[:3], [0, 0.1, 0.25])
    assert result.chosen_length[:3].tolist() == [2, 10, 20]
    assert NoLengthControl(upper_bound=4.0)([prompt]).bias_after == 2 - 4


def test_what_gives_no_pair_takes_no_part(scored):
    prompts = [
        scored([(3.0, 20), (1.0, 10)]),
        scored([(9.0, 900), (None, 1), (None, 1)], id="one usable"),
        scored([(2.0, 900), (2.0, 1)], id="equal"),
        scored([(None, 900), (4.0, 17), (1.0, 10)], id="unusable first"),
    ]
    result = NoLengthControl()(prompts)
    assert result.pairs.tolist() == [2]
    assert result.bias_before == ((20 - 10) + (17 - 10)) / 2


@pytest.mark.parametrize("prompts", [[], [[]]])
def test_no_prompt_at_all(prompts):
    result = LengthControl()(prompts)
    assert result.alpha == 0.0
    assert result.pairs.tolist() == [0]
    assert math.isnan(result.bias_before)


def test_result_goes_into_json(scored):
    values = json.loads(json.dumps(LengthControl(upper_bound=50.0)([scored([(3.0, 20), (1.0, 10)])]).as_dict()))
    assert values["chosen_length"] == [20, 10]
    assert (values["unit"], values["upper_bound"], values["alpha"]) == ("tokens", 50.0, 0.0)


def test_three_thousand_prompts_take_less_than_a_second():
    rng = np.random.default_rng(0)
    lengths = rng.integers(20, 600, (3000, 10))
    rewards = rng.normal(size=(3000, 10)) + 0.003 * lengths
    flat = [
        ScoredResponse(str(n), "sw", k, rewards[n, k], 0.0, 0.0, int(lengths[n, k]), 1, 1)
        for n, k in np.ndindex(3000, 10)
    ]
    prompts = list(group_by_prompt(flat)["sw"].values())
    start = time.perf_counter()
    result = LengthControl()(prompts)
    assert time.perf_counter() - start < 1.0
    assert result.bias_before > 200
    assert abs(result.bias_after) < 0.5
    assert result.alpha == pytest.approx(0.003, abs=2e-4)


@pytest.mark.parametrize("kind", [LengthControl, NoLengthControl])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(unit="words"), "^unit must be one of tokens, characters, bytes, got 'words'$"),
        (dict(upper_bound=float("nan")), "^upper_bound must be a finite number or None, got nan$"),
        (dict(upper_bound="10"), "^upper_bound must be a finite number or None, got '10'$"),
    ],
)
def test_bad_settings_are_refused(kind, settings, message):
    with pytest.raises(ValueError, match=message):
        kind(**settings)
