"""Every family that `AutoModelForCausalLM` knows, tiny and random: the page says what the engine does with it now."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.families import page
from tests.families.tiny import COMPOSED, TYPES


@pytest.mark.slow
def test_the_page_is_written_from_what_is_tried_and_over_a_hundred_families_are_right():
    rows = page.rows()
    assert page.PAGE.read_text(encoding="utf-8") == page.page(rows), "python -m tests.families.page"
    tried = [row for row in rows if row.tried]
    assert len(tried) >= 150
    for row in tried:
        allowed = page.ALLOWED_ROUGH if row.model_type in page.ROUGH else page.ALLOWED
        assert row.refused or row.difference < allowed, row
    assert {row.model_type for row in rows} == set(TYPES) - set(COMPOSED)


def mentions() -> Iterator[str]:
    """Types that the page has a row of."""
    for line in page.PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("| `"):
            yield line.split("`")[1]


def test_the_page_has_every_type_that_is_known_here():
    """A newer transformers has others: the slow test, and the page, are for the version that the page names."""
    missing = set(TYPES) - set(COMPOSED) - set(mentions())
    if page.VERSION in page.PAGE.read_text(encoding="utf-8"):
        assert not missing
