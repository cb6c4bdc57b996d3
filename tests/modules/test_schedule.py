"""Factors of the peak learning rate, alone and as the optimiser gets them."""

from __future__ import annotations

import pytest

from icr.losses import DPO
from icr.modules.schedule import Schedule


@pytest.mark.parametrize(
    ("schedule", "factors"),
    [
        (Schedule("constant"), [1, 1, 1, 1]),
        (Schedule("linear"), [1, 0.75, 0.5, 0.25]),
        (Schedule("cosine"), [1, 0.853553, 0.5, 0.146447]),
        (Schedule("constant", 0.5), [0, 0.5, 1, 1]),
        (Schedule("linear", 0.5), [0, 0.5, 1, 0.5]),
    ],
)
def test_factors(schedule, factors):
    assert [schedule.factor(step, 4) for step in range(4)] == pytest.approx(factors, abs=1e-6)
    # Before the round's pairs are there, the first step's factor is known all the same.
    assert schedule.factor(0, None) == factors[0]


def test_the_optimiser_gets_the_rounds_length(make_model, bare_pairs, with_reference, fit):
    pairs = with_reference(bare_pairs(4), make_model())
    got = fit(make_model(), pairs, DPO(), micro=1, batch=2, epochs=2, lr=0.1, schedule=Schedule("linear"))
    assert [metrics["lr"] for metrics in got.metrics] == pytest.approx([0.1, 0.075, 0.05, 0.025])


@pytest.mark.parametrize(("field", "value"), [("name", "step"), ("warmup_ratio", 1.0), ("warmup_ratio", -0.1)])
def test_bad_settings_are_refused(field, value):
    with pytest.raises(ValueError, match="must be"):
        Schedule(**{field: value})
