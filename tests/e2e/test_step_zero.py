"""At step 0 policy and training reference are one function: a log-ratio of 0 and a loss of ln 2, in any arithmetic."""

from __future__ import annotations

import pytest

from tests.e2e import step_zero
from tests.e2e.conftest import Program
from tests.e2e.step_zero import Combination

QUICK = [
    Combination("bf16-mixed", loss="kto"),
    Combination("bf16-true", loss="ld_dpo"),
    Combination("16-mixed", adapter="lora"),
    Combination("bf16-true", strategy="fsdp2", ranks=2),
]


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> list[str]:
    """Model and data."""
    return step_zero.files(tmp_path_factory.mktemp("given"))


def zero(program: Program, given: list[str], chosen: Combination, directory) -> None:
    """Exactly 0, but for what float64 makes of a mean of ln 2."""
    seen = step_zero.measure(program, given, chosen, directory)
    assert seen["chosen"] == seen["margin"] == 0
    assert seen["loss"] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("chosen", QUICK, ids=str)
def test_quick(program: Program, given, tmp_path, chosen: Combination):
    zero(program, given, chosen, tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("chosen", [c for c in step_zero.combinations() if c not in QUICK], ids=str)
def test_all(program: Program, given, tmp_path, chosen: Combination):
    zero(program, given, chosen, tmp_path / "run")
