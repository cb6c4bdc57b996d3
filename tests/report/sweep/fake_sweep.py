"""Writes the folder of a sweep whose jobs look like real ones, but for the tables that no sweep's page reads."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from icr.rundir import Layout, ModelResult, RoundCounts, Summary, manifest
from icr.rundir.sweeps import Job, Status, Sweep, open_sweep, write_end, write_plan

LANGUAGES = ["en", "bn", "th", "ar"]
Rate = Callable[[Mapping[str, str]], float]


def rising(overrides: Mapping[str, str]) -> float:
    """A win rate of M0 that grows with α, and moves a little with the seed."""
    return 50.0 + 8.0 * float(overrides.get("loss.alpha", 0)) + 0.5 * float(overrides.get("seed", 0))


def write_run(directory: Path, overrides: Mapping[str, str], rate: Rate = rising, fall: float = 0.4, steps: int = 12):
    """A finished run of one round: configuration, summary and metrics; `fall` is where the chosen log-ratio ends."""
    layout = Layout(directory)
    directory.mkdir(parents=True)
    manifest.write(layout.manifest, manifest.read(layout.manifest))
    layout.config.write_text(yaml.safe_dump(_nested(overrides)), encoding="utf-8")
    layout.overrides.write_text(yaml.safe_dump([f"{k}={v}" for k, v in overrides.items()]), encoding="utf-8")
    layout.report.write_text("<!DOCTYPE html>")
    mean, seed = rate(overrides), int(overrides.get("seed", 0))
    models = [
        ModelResult("sft", "start", None, _figures(30.0)),
        ModelResult("dpo_en", "start", None, _figures(48.0)),
        ModelResult("M0", "round", 0, _figures(mean)),
    ]
    means = {
        "chosen_reward": 0.4,
        "rejected_reward": -0.2,
        "chosen_tokens": 14.0,
        "rejected_tokens": 13.0,
    }
    entry = RoundCounts(0, **{name: dict.fromkeys(LANGUAGES, value) for name, value in means.items()})
    entry = replace(entry, pairs=dict.fromkeys(LANGUAGES, 40))
    found = Summary("icr", seed, "0.2.0", 1, LANGUAGES, models=models, rounds=[entry], seconds={"round_0/train": 9.0})
    layout.summary.write_text(json.dumps(found.as_json(), ensure_ascii=False))
    at = np.arange(steps)
    curves = {"round": 0, "step": at, "loss": 0.7 - 0.01 * at, "rewards/margins": 0.02 * at}
    pd.DataFrame(curves | {"logps/chosen_ratio": fall * at / (steps - 1)}).to_csv(layout.metrics, index=False)


def _nested(overrides: Mapping[str, str]) -> dict:
    tree: dict = {}
    for key, value in overrides.items():
        *above, name = key.split(".")
        node = tree
        for part in above:
            node = node.setdefault(part, {})
        node[name] = yaml.safe_load(value)
    return tree


def _figures(mean: float) -> dict:
    rates = {"mean": mean, **{l: mean + 3.0 * i for i, l in enumerate(LANGUAGES)}}
    lengths = dict.fromkeys(rates, 14.0)
    return {"win_rate": rates, "win_rate_se": dict.fromkeys(rates, 1.5), "tokens": lengths,
            "repetition_rate": dict.fromkeys(rates, 0.0)}  # fmt: skip


def write_sweep_of(directory: Path, axes: Mapping[str, Sequence[str]], rate: Rate = rising, **options) -> Sweep:
    """Every combination of the values, all finished."""
    jobs = []
    for number, values in enumerate(itertools.product(*axes.values())):
        overrides = dict(zip(axes, values, strict=True))
        jobs.append(Job(number, f"{number}_job", overrides, Status.FINISHED, seconds=9.0))
        write_run(directory / f"{number}_job", overrides, rate, **options)
    write_plan(directory, jobs)
    for job in jobs:
        write_end(directory, job)
    return open_sweep(directory)


def add(sweep: Sweep, *jobs: Job) -> Sweep:
    """The sweep with more jobs, which have no run; those that have a word of their end leave it."""
    write_plan(sweep.directory, [*sweep.jobs, *jobs])
    for job in jobs:
        if job.status is not Status.MISSING:
            write_end(sweep.directory, job)
    return open_sweep(sweep.directory)
