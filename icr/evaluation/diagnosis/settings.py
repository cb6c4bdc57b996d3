"""How a reward is diagnosed. Config group `diagnosis`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from icr.checks import require_either, require_number
from icr.data import RewardPrompt
from icr.errors import RunError
from icr.evaluation.diagnosis.reasons import of_samples
from icr.evaluation.diagnosis.verdict import Level, Limits, Verdict

STOPS = {"no_go": (Level.NO_GO,), "caution": (Level.CAUTION, Level.NO_GO)}


@dataclass(frozen=True)
class Diagnosis:
    """Limits of a diagnosis, and what a run does about it. None of it changes a number of a training, and of a round's
    own figures only whether languages are looked at.

    Raises:
        ValueError: `stop` or `confidence` is not what it may be.
    """

    limits: Limits = field(compare=False)
    """Where caution and no-go begin."""
    reward_prompts: Mapping[str, RewardPrompt] = field(compare=False)
    """By name; the doctor compares them, beside the run's own."""
    stop: str | None = field(default=None, compare=False)
    """Whether a run ends before the training of a round: at a language that is `no_go`, or at `caution`."""
    confidence: float = field(default=0.95, compare=False)
    """Of intervals."""
    identify: bool = True
    """Whether the language of responses is looked at, which takes seconds."""

    def __post_init__(self) -> None:
        if self.stop is not None:
            require_either("stop", self.stop, *STOPS, "null")
        require_number("confidence", self.confidence, above=0, below=1)

    def verdicts(self, figures: Mapping[str, Mapping[str, float]]) -> dict[str, Verdict]:
        """What the figures of a round's responses amount to, by language.

        Args:
            figures: `[figure][language]`.
        """
        return verdicts(self.limits, figures)

    def check(self, name: str, figures: Mapping[str, Mapping[str, float]]) -> None:
        """Refuse to train a round on what `stop` does not let pass.

        Args:
            name: of the round.
            figures: `[figure][language]`.

        Raises:
            RunError: a language has that verdict; its reasons are named.
        """
        if self.stop is None:
            return
        bad = {code: v for code, v in self.verdicts(figures).items() if v.level in STOPS[self.stop]}
        if bad:
            found = "; ".join(f"{code} is {v.level}: {v.reasons[0].text}" for code, v in bad.items())
            raise RunError(
                f"{name} is not trained, because diagnosis.stop={self.stop}: {found}. Its responses and rewards are "
                f"kept. Mend what they say, which takes a new run.dir; or give diagnosis.stop=null or other "
                f"diagnosis.limits, and the same command goes on from here."
            )


def verdicts(limits: Limits, figures: Mapping[str, Mapping[str, float]]) -> dict[str, Verdict]:
    """Verdict of each language, by own samples alone: `go` means that nothing is seen to be broken."""
    languages = dict.fromkeys(code for by_language in figures.values() for code in by_language)
    of_language = {code: {name: by[code] for name, by in figures.items() if code in by} for code in languages}
    return {code: Verdict.of(of_samples(limits, of_language[code])) for code in languages}
