"""The figures of a round's responses, as a stage of the run directory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from icr import distributed
from icr.evaluation.diagnosis.own import own_figures
from icr.evaluation.diagnosis.samples import tabulated
from icr.rounds.regenerate import RoundData
from icr.rundir.files import read_json
from icr.rundir.results import Figures, with_nan
from icr.types import PreferencePair, Response, ScoredResponse


def diagnose_round(
    data: RoundData,
    responses: Sequence[Response],
    scored: Sequence[ScoredResponse],
    pairs: Sequence[PreferencePair],
    *,
    identify: bool,
) -> dict[str, Figures]:
    """The stage `diagnosis`: `[figure][language]` by the names of `icr.metrics.RoundMetric`, NaN where not measured.

    It is made of the round's stages alone, and scores nothing anew. Where languages cannot be identified, there is no
    figure of them.

    Args:
        data: of the round, whose length control is complete.
        responses, scored: of all languages, in one order.
        pairs: that were made of them.
        identify: whether the language of responses is looked at.
    """

    def make() -> dict[str, dict[str, float]]:
        if distributed.rank():
            return {}
        controls = read_json(data.store.layout.document(data.stages.length_control))
        units = {code: str(control["unit"]) for code, control in controls.items()}
        alphas = {code: float(control["alpha"]) for code, control in controls.items()}
        counts = Counter(pair.language for pair in pairs)
        return own_figures(tabulated(responses, scored, units), responses, alphas, counts, identify=identify)

    return {name: with_nan(values) for name, values in data.store.json(data.stages.diagnosis, make).items()}
