"""`report.html`: one page of a run that needs no network and trusts no model's text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from icr.report import curves, diagnosis, pages, plots, readings, samples, tables
from icr.report.behind import Plot
from icr.report.leaderboard import grids, sentence
from icr.rundir import atomic
from icr.rundir.reader import open_run
from icr.rundir.summary import own_pairs

if TYPE_CHECKING:
    from pathlib import Path

    from icr.rundir.reader import Run
    from icr.rundir.results import Summary

CONFIG_LIMIT = 60_000  # characters of config.yaml shown


def write_report(run_dir: Path) -> Path:
    """Reads what lies in `run_dir` and writes `run_dir/report.html`, replacing an older one in one move.

    Returns:
        The path of the page.

    Raises:
        RunError: `run_dir` holds no run, or a file in it cannot be read.
    """
    run = open_run(run_dir)
    text = render(run)
    atomic.replace(run.layout.report, lambda path: path.write_text(text, encoding="utf-8"))
    return run.layout.report


def render(run: Run) -> str:
    """The page as text."""
    summary = run.summary
    embedded = samples.collect(run)
    benchmarks = run.benchmarks()
    return pages.render(
        "template.html",
        "browser.js",
        run=run,
        summary=summary,
        name=run.directory.resolve().name,
        headline=headline(summary),
        steps=_steps(summary),
        control=_best_control(summary),
        figures=figures(run),
        benchmarks=benchmarks and _benchmarks(run, benchmarks),
        results=[g for metric in tables.METRICS if (g := tables.metric_grid(summary, metric))],
        rewards=tables.rewards_grid(summary),
        counts=tables.counts_grid(summary),
        diagnosis=diagnosis.diagnosis_grid(run),
        broken=diagnosis.reasons(run),
        examples=samples.examples(run, [model.name for model in summary.road]),
        samples=embedded,
        samples_json=pages.script_json(embedded),
        seconds=_seconds(summary),
        config=run.config[:CONFIG_LIMIT],
    )


def headline(summary: Summary) -> str:
    """The run in a sentence: `"SFT 31.9 → DPO-en 48.3 → M0 54.9 → M1 60.0: mean win rate over 7 target languages"`."""
    steps = _steps(summary)
    if steps:
        road = " → ".join(f"{step['name']} {step['value']}" for step in steps)
        targets = len(summary.targets)
        if not targets:
            return f"{road}: win rate in English"
        return f"{road}: mean win rate over {targets} target language{'s' if targets > 1 else ''}"
    rounds = summary.rounds
    if not rounds:
        return "No round of this run has got as far as its responses yet"
    pairs = sum(sum(entry.pairs.values()) for entry in rounds)
    count = len(summary.languages)
    return (
        f"{pairs:,} preference pairs in {count} language{'s' if count != 1 else ''} "
        f"over {len(rounds)} round{'s' if len(rounds) != 1 else ''}; no model judged"
    )


def _benchmarks(run: Run, benchmarks: Run) -> dict[str, Any] | None:
    """What `icr evaluate` has found about the run's models, and where its page is, seen from the run's."""
    if benchmarks.measured is None:
        return None
    page = benchmarks.layout.leaderboard.relative_to(run.directory).as_posix()
    return {
        "page": page,
        "headline": sentence.headline(benchmarks.measured),
        "grid": grids.overview(benchmarks.measured),
    }


def _steps(summary: Summary) -> list[dict[str, str]]:
    """Display name, mean win rate and its standard error of each model on the road that was judged."""
    found = []
    for model in summary.road:
        value, error = model.figure("win_rate"), model.figure("win_rate_se")
        if math.isfinite(value):
            written = tables.number(error) if math.isfinite(error) else ""
            found.append({"name": tables.display_name(model.name), "value": tables.number(value), "error": written})
    return found


def _best_control(summary: Summary) -> str:
    """A sentence with the highest mean win rate among the controls, `""` without controls."""
    judged = [m for models in summary.controls.values() for m in models if math.isfinite(m.figure("win_rate"))]
    if not judged:
        return ""
    best = max(judged, key=lambda model: model.figure("win_rate"))
    return f"The best control stands at {tables.number(best.figure('win_rate'))} ({best.control_label} {best.name})."


def figures(run: Run) -> dict[str, Any]:
    """Every plot with its numbers; false where the run has no data for it."""
    summary, languages = run.summary, run.summary.languages
    columns = ["language", "chosen_reward", "rejected_reward"]
    tables = {t: run.table(t, "pairs", [*columns, "source"]) for t in run.rounds}
    pairs = {t: own_pairs(f) for t, f in tables.items() if f is not None and set(columns) <= set(f)}
    lengths = {t: svg for t, c in run.length_control.items() if (svg := curves.length_control(c, t))}
    return {
        "win_rate": Plot("win_rates", plots.win_rate(summary), *readings.win_rate(summary)),
        "accuracy": Plot("accuracies", plots.reward_accuracy(summary), *readings.reward_accuracy(summary)),
        "rewards": Plot("rewards", plots.reward_distributions(pairs, languages), *readings.reward_distributions(pairs)),
        "length_control": {
            t: Plot(f"length_control_{t}", svg, *readings.length_control(run.length_control[t]))
            for t, svg in lengths.items()
        },
        "training": Plot(
            "training", curves.training(run.metrics, languages), *readings.training(run.metrics, languages)
        ),
    }


def _seconds(summary: Summary) -> list[tuple[str, float, float]]:
    """Stage, seconds, and its share of the longest in percent."""
    longest = max(summary.seconds.values(), default=0) or 1.0
    return [(name, value, 100 * value / longest) for name, value in summary.seconds.items()]
