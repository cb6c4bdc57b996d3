from __future__ import annotations

import math

import numpy as np
import pytest

from icr.rewards import implicit_reward

POLICY, REFERENCE = [-1.0, -2.0, -0.5, -3.0], [-1.5, -0.5, -4.0, -3.0]  # log-ratios 0.5, -1.5, 3.5, 0


@pytest.mark.parametrize(("token_clip", "nats"), [(None, 2.5), (0.0, -1.5), (1.0, 0.0), (10.0, 2.5), (-1.0, -4.5)])
def test_reward_is_beta_times_the_clipped_sum(token_clip, nats):
    assert implicit_reward(POLICY, REFERENCE, beta=0.25, token_clip=token_clip) == 0.25 * nats


def test_float32_log_probs_are_summed_in_float64():
    policy = np.array([2.0**24, 1, 1, 1], np.float32)
    assert implicit_reward(policy, np.zeros(4, np.float32), beta=1) == 2.0**24 + 3


def test_an_empty_response_has_reward_zero():
    assert implicit_reward([], [], beta=0.1) == 0.0


@pytest.mark.parametrize("token_clip", [None, 0.0])
def test_clipping_does_not_hide_a_non_finite_log_prob(token_clip):
    assert not math.isfinite(implicit_reward([-1.0, -1.0], [-1.0, -math.inf], beta=0.1, token_clip=token_clip))
    assert not math.isfinite(implicit_reward([-1.0, math.nan], [-1.0, -1.0], beta=0.1, token_clip=token_clip))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0, 2.0], [1.0]), r"one shape \[T\], got \[2\] and \[1\]"),
        (([[1.0]], [[1.0]]), r"one shape \[T\], got \[1, 1\]"),
    ],
)
def test_shapes_must_agree(arguments, message):
    with pytest.raises(ValueError, match=message):
        implicit_reward(*arguments, beta=0.1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(beta=0), "^beta must be above 0, got 0$"),
        (dict(beta=-0.1), "^beta must be above 0, got -0.1$"),
        (dict(beta=math.nan), "^beta must be a finite number, got nan$"),
        (dict(beta="1"), "^beta must be a finite number, got '1'$"),
        (dict(beta=1, token_clip=math.nan), "^token_clip must be a finite number or None, got nan$"),
        (dict(beta=1, token_clip="pessimistic"), "^token_clip must be a finite number or None, got 'pessimistic'$"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        implicit_reward([1.0], [1.0], **settings)
