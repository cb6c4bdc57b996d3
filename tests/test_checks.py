"""The checks of settings: what is refused, and in which words."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest

from icr.checks import require_counts, require_either, require_integer, require_number, require_one_of
from icr.errors import one_line


@pytest.mark.parametrize("value", [True, "1", None, math.nan, math.inf, 1j])
def test_what_is_no_finite_number(value):
    with pytest.raises(ValueError, match=r"^x must be a finite number, got "):
        require_number("x", value)


@pytest.mark.parametrize(
    ("bounds", "allowed", "refused", "message"),
    [
        (dict(above=0), 0.1, 0, "x must be above 0, got 0"),
        (dict(least=0), 0, -1, "x must be at least 0, got -1"),
        (dict(above=0, most=1), 1, 1.5, "x must be above 0 and at most 1, got 1.5"),
        (dict(least=0, below=0.5), 0, 0.5, "x must be at least 0 and below 0.5, got 0.5"),
        (dict(least=1, otherwise="or null"), 1, 0, "x must be at least 1 or null, got 0"),
    ],
)
def test_bounds(bounds, allowed, refused, message):
    require_number("x", allowed, **bounds)
    with pytest.raises(ValueError, match=r"^x must be") as error:
        require_number("x", refused, **bounds)
    assert str(error.value) == message


@pytest.mark.parametrize("value", [0, -1, 1.0, True, None])
def test_counts(value):
    require_counts(SimpleNamespace(a=1, b=2), "a", "b")
    with pytest.raises(ValueError, match=r"^b must be a whole number of at least 1, got "):
        require_counts(SimpleNamespace(a=1, b=value), "a", "b")


@pytest.mark.parametrize("value", [True, 1.0, "1", None])
def test_integers(value):
    require_integer("x", -1)
    with pytest.raises(ValueError, match=r"^x must be an integer, got "):
        require_integer("x", value)


def test_choices_listed_and_spelt_out():
    require_one_of("x", "a", ["a", "b"])
    require_either("x", "a", "a", "b", "c")
    with pytest.raises(ValueError, match=r"^x must be one of a, b, got 'c'$"):
        require_one_of("x", "c", ["a", "b"])
    with pytest.raises(ValueError, match=r"^x must be a, b or c, got None$"):
        require_either("x", None, "a", "b", "c")


def test_an_error_in_one_line():
    assert one_line(ValueError("first\n  second\t third")) == "first second third"
    assert one_line("x" * 300) == "x" * 300
    assert one_line("x" * 301) == "x" * 299 + "…"
    assert len(one_line("word " * 100, limit=50)) == 50


def test_what_is_beyond_float32_or_any_count_is_refused_without_being_written_out():
    """Python writes out no integer of more than 4300 digits."""
    huge = 10**5000
    with pytest.raises(ValueError, match=r"^x must be a finite number, got an integer of 16610 bits$"):
        require_number("x", huge)
    with pytest.raises(ValueError, match=r"^x must be a finite number, got 1e\+39$"):
        require_number("x", 1e39)
    with pytest.raises(ValueError, match=r"^a must be a whole number of at most 2147483647, got 2147483648$"):
        require_counts(SimpleNamespace(a=2**31), "a")
    with pytest.raises(ValueError, match=r"^x must be within 64 bits, got "):
        require_integer("x", 2**63)
