"""Go, caution or no-go for a language, with the reasons: figures held against limits."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import ClassVar

from icr.checks import require_number

LEVELS = ("caution", "no_go")


class Level(StrEnum):
    """How bad a reason is, or the worst of all reasons."""

    GO = "go"
    CAUTION = "caution"
    NO_GO = "no-go"


@dataclass(frozen=True)
class Reason:
    """Why a language is not a plain go.

    Attributes:
        level: caution or no-go.
        name: of the limit that was passed.
        text: with the figures, in words.
    """

    level: Level
    name: str
    text: str


@dataclass(frozen=True)
class Verdict:
    """What is said of a language: the worst of its reasons, which come worst first."""

    level: Level
    reasons: list[Reason]

    @classmethod
    def of(cls, reasons: Iterable[Reason]) -> Verdict:
        """The verdict that these reasons amount to."""
        ordered = sorted(reasons, key=lambda reason: reason.level != Level.NO_GO)
        return cls(ordered[0].level if ordered else Level.GO, ordered)


Limit = Mapping[str, float | None]
"""From which figure on there is `caution`, and from which `no_go`; null is never."""


@dataclass(frozen=True)
class Limits:
    """Where caution and no-go begin. Key `diagnosis.limits`; `conf/diagnosis/standard.yaml` says what each means.

    Raises:
        ValueError: a limit gives something else than `caution` and `no_go`, or no number.
    """

    accuracy: Limit
    """At least: the lower end of reward accuracy's interval."""
    over_baselines: Limit
    """At least: the lower end of the interval of reward accuracy less the best baseline's."""
    agreement: Limit
    """At least: the lower end of the interval of the share of comparisons that two reward prompts order alike."""
    equal_rewards: Limit
    """At most, of comparisons."""
    log_ratio: Limit
    """At most: nats per token, either way."""
    length: Limit
    """At most: the correlation with length after length control, either way."""
    pairs: Limit
    """At least, of prompts."""
    truncated: Limit
    """At most, of responses; so are the following."""
    duplicates: Limit
    empty: Limit
    repeating: Limit
    off_language: Limit

    AT_LEAST: ClassVar[frozenset[str]] = frozenset({"accuracy", "over_baselines", "agreement", "pairs"})

    def __post_init__(self) -> None:
        for entry in fields(self):
            limit = getattr(self, entry.name)
            if not isinstance(limit, Mapping) or set(limit) != set(LEVELS):
                raise ValueError(f"{entry.name} must be {{caution: …, no_go: …}}, each a number or null, got {limit!r}")
            for level in LEVELS:
                if limit[level] is not None:
                    require_number(f"{entry.name}.{level}", limit[level], otherwise="or null")

    def passed(self, name: str, figure: float) -> tuple[Level, float] | None:
        """The level that a figure reaches, and the limit that it has passed; None where it is well, or was not had."""
        limit: Limit = getattr(self, name)
        for key, level in (("no_go", Level.NO_GO), ("caution", Level.CAUTION)):
            bound = limit[key]
            if bound is None or math.isnan(figure):
                continue
            if figure <= bound if name in self.AT_LEAST else figure >= bound:
                return level, bound
        return None
