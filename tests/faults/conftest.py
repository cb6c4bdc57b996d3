"""The campaigns' totals, a line for each in the end."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable

import pytest

PROPERTY = "campaign"


@pytest.fixture
def count(record_property) -> Callable[[str, str], None]:
    """`count(campaign, outcome)`: one case of a campaign, and what came of it."""
    return lambda campaign, outcome: record_property(PROPERTY, (campaign, outcome))


def pytest_terminal_summary(terminalreporter) -> None:
    """Print the totals. Counts travel with the reports, so that they come from all processes of pytest-xdist."""
    totals: dict[str, Counter[str]] = defaultdict(Counter)
    for report in [*terminalreporter.stats.get("passed", []), *terminalreporter.stats.get("failed", [])]:
        for name, value in report.user_properties if report.when == "call" else []:
            if name == PROPERTY:
                totals[value[0]]["wrong" if report.failed else value[1]] += 1
    for campaign, counts in totals.items():
        listed = ", ".join(f"{outcome} {number}" for outcome, number in counts.most_common())
        terminalreporter.write_line(f"{campaign}: {counts.total()} cases: {listed}")
