"""Names of the stages in which benchmarks alone measure models, as `icr.rundir.layout` has all others."""

PREFERENCES_BASE = "preferences_base/logps"
"""Stage of the log-probs of labelled answers under the model that others are measured against: a table."""


def described_stage(model: str) -> str:
    """Stage of what is seen of a model's answers (`answers_stage`) without a judge: a table of them."""
    return f"described/{model}"


def harness_stage(task: str, model: str) -> str:
    """Stage of what a task of lm-evaluation-harness has found about a model: a document."""
    return f"lm_eval_{task}/{model}"


def turn_stage(turn: int, model: str) -> str:
    """Stage of a model's answers to one turn of MT-Bench, counted from 1: a table."""
    return f"mt_bench_turn_{turn}/{model}"


def grades_stage(model: str) -> str:
    """Stage of the grades of these answers: a table."""
    return f"mt_bench_grades/{model}"


def preferences_stage(model: str) -> str:
    """Stage of a model's log-probs of labelled answers: a table."""
    return f"preferences/{model}"
