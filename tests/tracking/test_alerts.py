"""When a run alerts, and when it does not."""

from __future__ import annotations

import pytest

from icr.metrics import Figure, PairMetric, RoundMetric
from icr.tracking import Alerts

LANGUAGES = ["en", "sw"]


def test_chosen_responses_that_become_less_likely():
    (alert,) = Alerts().of_steps([-0.5, -2.5], 1)
    assert "-1.50 nats over the last 2 steps of round 1" in alert.text
    assert len(alert.title) < 64
    assert not Alerts().of_steps([-1.0, -1.0], 1)
    assert not Alerts().of_steps([], 1)
    assert not Alerts(chosen_ratio=None).of_steps([-100.0], 1)


@pytest.mark.parametrize(("tokens", "told"), [(16, True), (15, False), (7, False), (6, True)])
def test_lengths_that_drift_either_way(tokens, told):
    first = {PairMetric.CHOSEN_TOKENS.of(code): 10.0 for code in LANGUAGES}
    alerts = Alerts().of_round(first | {"sw/pairs/chosen_tokens": float(tokens)}, first, LANGUAGES, 2)
    assert [alert.title for alert in alerts] == ["round 2: lengths drift"] * told
    assert all("sw" in alert.text and "en" not in alert.text.split(":")[1][:4] for alert in alerts)


def test_answers_in_another_language_and_in_circles_of_a_round_and_of_the_last_model():
    shares = {RoundMetric.OFF_LANGUAGE.of("sw"): 0.2, RoundMetric.REPEATING.of("en"): 0.1}
    (alert,) = Alerts().of_round(shares, {}, LANGUAGES, 0)
    assert (alert.title, "sw 20%" in alert.text) == ("round 0: answers in another language", True)
    rates = {Figure.OFF_LANGUAGE_RATE.of("sw"): 9.0, Figure.REPETITION_RATE.of("en"): 11.0}
    (alert,) = Alerts().of_model(rates, LANGUAGES, 2)
    assert (alert.title, "en 11%" in alert.text) == ("M1: answers that run in circles", True)
    assert not Alerts().of_model(rates, LANGUAGES, 0)
    assert not Alerts(off_language=None, repeating=None).of_round(shares, {}, LANGUAGES, 0)


@pytest.mark.parametrize("limits", [{"length_drift": 0.5}, {"off_language": -0.1}, {"repeating": "no"}])
def test_limits_without_sense_are_refused(limits):
    with pytest.raises(ValueError, match=f"{next(iter(limits))} must be .* or null"):
        Alerts(**limits)
