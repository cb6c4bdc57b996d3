"""When somebody should look at a run that is still going on: limits, and what is said where one is passed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from icr.checks import require_number
from icr.metrics import (
    LEAST_CHOSEN_RATIO,
    MOST_LENGTH_DRIFT,
    MOST_OFF_LANGUAGE,
    MOST_REPEATING,
    Figure,
    PairMetric,
    RoundMetric,
)

WINDOW = 20
"""Steps over whose mean the likelihood of chosen responses is looked at: single steps say little."""


@dataclass(frozen=True)
class Alert:
    """Something to look at.

    Attributes:
        title: less than 64 characters, by which W&B tells alerts apart.
        text: what was seen, and what may help.
    """

    title: str
    text: str


@dataclass(frozen=True)
class Alerts:
    """Limits beyond which a run alerts, each off where it is null. Part of `logger=wandb`.

    Raises:
        ValueError: a limit makes no sense.
    """

    chosen_ratio: float | None = LEAST_CHOSEN_RATIO
    """Nats: mean of `logps/chosen_ratio` over 20 steps, below which chosen responses have become less likely."""
    length_drift: float | None = MOST_LENGTH_DRIFT
    """Times by which chosen responses of a round may be longer, or shorter, than those of round 0 in a language."""
    off_language: float | None = MOST_OFF_LANGUAGE
    """Share of responses in another language than their prompt's."""
    repeating: float | None = MOST_REPEATING
    """Share of responses that run in circles."""

    def __post_init__(self) -> None:
        for name, least in {"chosen_ratio": -math.inf, "length_drift": 1, "off_language": 0, "repeating": 0}.items():
            if (value := getattr(self, name)) is not None:
                require_number(name, value, least=least, otherwise="or null")

    def of_steps(self, ratios: Sequence[float], round: int) -> list[Alert]:
        """What the last steps of a round show.

        Args:
            ratios: `logps/chosen_ratio` of each, in nats.
        """
        mean = sum(ratios) / len(ratios) if ratios else math.nan
        if self.chosen_ratio is None or not mean < self.chosen_ratio:
            return []
        said = f"log π/π_ref of chosen responses is {mean:.2f} nats over the last {len(ratios)} steps of round {round}."
        help = "They become less likely: raise loss.alpha, lower optim.lr, or train for fewer steps."
        return [Alert(f"round {round}: chosen responses become less likely", f"{said} {help}")]

    def of_round(
        self, figures: Mapping[str, float], first: Mapping[str, float], languages: Iterable[str], round: int
    ) -> list[Alert]:
        """What was sampled for a round, before it is trained.

        Args:
            figures: of the round, by the names of `RoundMetric` and `PairMetric`.
            first: the same of round 0.
        """
        codes = list(languages)
        tokens = {code: figures.get(PairMetric.CHOSEN_TOKENS.of(code), math.nan) for code in codes}
        before = {code: first.get(PairMetric.CHOSEN_TOKENS.of(code), math.nan) for code in codes}
        off = {code: figures.get(RoundMetric.OFF_LANGUAGE.of(code), 0) for code in codes}
        circles = {code: figures.get(RoundMetric.REPEATING.of(code), 0) for code in codes}
        return [
            *self._drift(tokens, before, f"round {round}"),
            *_shares(off, self.off_language, f"round {round}: {OFF_LANGUAGE}"),
            *_shares(circles, self.repeating, f"round {round}: {REPEATING}"),
        ]

    def of_model(self, figures: Mapping[str, float], languages: Iterable[str], model: int) -> list[Alert]:
        """What the answers of M_t show, which no later round samples from where t is the last.

        Args:
            figures: by the names of `Figure`, percentages among them.
            model: t + 1; nothing is said of π_0.
        """
        codes, what = list(languages), f"M{model - 1}"
        if not model:
            return []
        off = {code: figures.get(Figure.OFF_LANGUAGE_RATE.of(code), 0) / 100 for code in codes}
        circles = {code: figures.get(Figure.REPETITION_RATE.of(code), 0) / 100 for code in codes}
        return [
            *_shares(off, self.off_language, f"{what}: {OFF_LANGUAGE}"),
            *_shares(circles, self.repeating, f"{what}: {REPEATING}"),
        ]

    def _drift(self, tokens: Mapping[str, float], before: Mapping[str, float], what: str) -> list[Alert]:
        if self.length_drift is None:
            return []
        times = {code: tokens[code] / before[code] for code in tokens if before[code] > 0 and tokens[code] > 0}
        far = {code: ratio for code, ratio in times.items() if max(ratio, 1 / ratio) > self.length_drift}
        if not far:
            return []
        listed = ", ".join(f"{code} {tokens[code]:.0f} tokens ({ratio:.2f} ×)" for code, ratio in far.items())
        said = f"Chosen responses have another length than in round 0: {listed}."
        return [Alert(f"{what}: lengths drift", f"{said} Look at length_control, and at what the rewards prefer.")]


OFF_LANGUAGE, REPEATING = "answers in another language", "answers that run in circles"


def _shares(shares: Mapping[str, float], limit: float | None, title: str) -> list[Alert]:
    far = {code: share for code, share in shares.items() if limit is not None and share > limit}
    listed = ", ".join(f"{code} {share:.0%}" for code, share in far.items())
    help = "Look at the samples; gate=language leaves out other languages, loss.alpha and optim.lr tell how far a "
    return [Alert(title, f"Of the responses looked at: {listed}. {help}round goes.")] if far else []
