"""A round says what it sees before it is trained, and a run stops there if it is told to."""

from __future__ import annotations

import pandas as pd

from icr.metrics import RoundMetric, names, round_names
from tests.e2e.conftest import Program

LANGUAGES = ["en", "sw"]


def test_a_run_stops_at_no_go_and_goes_on_with_other_limits(program: Program, pocket_pair, tmp_path):
    policy, reference = pocket_pair
    arguments = [
        f"model.path={policy}",
        f"reward_pair.reference={reference}",
        "langs=[en,sw]",
        "iterations=1",
        "data.prompts_per_language=4",
        "sampling.n=3",
        "sampling.max_new_tokens=8",
        "reward.keep_truncated=true",
        "evaluation=none",
        "diagnosis.stop=no_go",
    ]
    directory = tmp_path / "run"
    stopped = program(directory, [*arguments, "diagnosis.limits.pairs={caution: 2, no_go: 2}"])
    assert stopped.status == 2
    assert (
        "round_0 is not trained, because diagnosis.stop=no_go: en is no-go: only 1.00 pairs per prompt"
        in stopped.output
    )
    before = stopped.stages()
    assert {"round_0/responses", "round_0/rewards", "round_0/diagnosis"} <= before.keys()
    assert "round_0/model" not in before
    lenient = "diagnosis.limits={log_ratio: {caution: null, no_go: null}, truncated: {caution: null, no_go: null}}"
    finished = program.ok(directory, [*arguments, lenient, "diagnosis.limits.length={caution: null, no_go: null}"])
    stages = finished.stages()
    assert {name: stages[name] for name in before} == before
    assert "round_0/model" in stages
    (entry,) = finished.summary()["rounds"]
    assert set(entry["diagnosis"]) == set(RoundMetric)
    assert entry["diagnosis"][RoundMetric.TRUNCATED].keys() == set(LANGUAGES)
    metrics = pd.read_csv(directory / "metrics.csv")
    assert set(metrics) <= {"round", "step", "global_step", *names(LANGUAGES), *round_names(LANGUAGES)}
    name = RoundMetric.TRUNCATED.of("sw")
    assert metrics.loc[0, name] == entry["diagnosis"][RoundMetric.TRUNCATED]["sw"]
    assert "Diagnosis" in (directory / "report.html").read_text("utf-8")
