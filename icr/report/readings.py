"""The numbers behind the plots of a run, and what they say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from icr.metrics import Figure, Metric
from icr.report import curves
from icr.report.behind import extremes, minus, signed
from icr.report.tables import display_name

if TYPE_CHECKING:
    from icr.rundir.reader import LengthCurve
    from icr.rundir.results import ModelResult, Summary

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
Reading = tuple[pd.DataFrame, str]
"""Numbers in long form, and sentences."""


def win_rate(summary: Summary) -> Reading:
    """Win rates with their standard errors; and how far the road has led."""
    rows = [
        {
            "model": model.label,
            "language": language,
            "win_rate": value,
            "se": model.figure(Figure.WIN_RATE_SE, language),
        }
        for model in summary.models
        for language, value in model.figures.get(Figure.WIN_RATE, {}).items()
    ]
    road = [model for model in summary.road if math.isfinite(model.figure(Figure.WIN_RATE))]
    return pd.DataFrame(rows), _way(road, summary) if len(road) > 1 else ""


def _way(road: Sequence[ModelResult], summary: Summary) -> str:
    """From the model before the first round to the last."""
    starts = [model for model in road if model.kind == "start"]
    first, last = (starts or road)[-1], road[-1]
    if first is last:
        first = road[0]
    gain = last.figure(Figure.WIN_RATE) - first.figure(Figure.WIN_RATE)
    errors = [model.figure(Figure.WIN_RATE_SE) for model in (first, last)]
    known = all(map(math.isfinite, errors))
    width = f" (standard errors over prompts {errors[0]:.1f} and {errors[1]:.1f})" if known else ""
    gains = {l: last.figure(Figure.WIN_RATE, l) - first.figure(Figure.WIN_RATE, l) for l in summary.targets}
    between = extremes(gains, "{:+.1f}")
    return (
        f"From {display_name(first.name)} to {display_name(last.name)} the mean moves by {signed(gain)} points"
        f"{width}{f': {between}' if between else ''}."
    )


def reward_accuracy(summary: Summary) -> Reading:
    """Accuracies; and the mean under each reward prompt."""
    rows = [
        {"reward_prompt": prompt, "language": language, "accuracy": value}
        for prompt, values in summary.reward_accuracy.items()
        for language, value in values.items()
    ]
    parts = []
    for prompt, values in summary.reward_accuracy.items():
        mean = values.get("mean", math.nan)
        between = extremes({l: value for l, value in values.items() if l != "mean"}, "{:.2f}")
        if math.isfinite(mean):
            parts.append(f"{mean:.2f} on average under the {prompt} prompt{f' ({between})' if between else ''}")
    return pd.DataFrame(rows), f"{'; '.join(parts)}." if parts else ""


def reward_distributions(pairs: Mapping[int, pd.DataFrame]) -> Reading:
    """Mean, standard deviation and quantiles of chosen and rejected; and how far apart they are in the last round."""
    rows = []
    for number, frame in pairs.items():
        for language, own in frame.groupby("language", sort=False):
            for side in ("chosen", "rejected"):
                values = own[f"{side}_reward"].to_numpy(float)
                values = values[np.isfinite(values)]
                if values.size:
                    spread = {"pairs": values.size, "mean": values.mean(), "sd": values.std()}
                    spread |= {f"q{100 * q:.0f}": np.quantile(values, q) for q in QUANTILES}
                    rows.append({"round": number, "language": language, "side": side, **spread})
    data = pd.DataFrame(rows)
    if data.empty:
        return data, ""
    last = data[data["round"] == data["round"].max()].pivot(index="language", columns="side", values="mean")
    if not {"chosen", "rejected"} <= set(last):
        return data, ""
    gaps = (last["chosen"] - last["rejected"]).dropna()
    between = extremes({str(l): float(gap) for l, gap in gaps.items()}, "{:.2f}")
    text = f"In round {data['round'].max()} chosen less rejected is {signed(gaps.mean(), 2)} nats"
    return data, f"{text}, the mean over languages{f': {between}' if between else ''}."


def length_control(by_language: Mapping[str, LengthCurve]) -> Reading:
    """Mean lengths at the values of α where they change; and the bias before and after."""
    rows = []
    for language, curve in by_language.items():
        lengths = zip(curve["starts"], curve["chosen_length"], curve["rejected_length"], strict=True)
        own = pd.DataFrame(lengths, columns=["alpha", "chosen_length", "rejected_length"]).round(6)
        changed = own[["chosen_length", "rejected_length"]].diff().ne(0).any(axis=1)
        own = own[changed] if len(own) <= curves.POINTS else own[changed].iloc[:: -(-len(own) // curves.POINTS)]
        rows.append(own.assign(language=language, taken=float(curve["alpha"])))
    if not rows:
        return pd.DataFrame(), ""
    before, after = (
        {l: float(curve[name] or 0.0) for l, curve in by_language.items() if curve.get(name) is not None}
        for name in ("bias_before", "bias_after")
    )
    unit = next(iter(by_language.values())).get("unit", "tokens")
    text = ""
    if before and after:
        bias, left = (float(np.mean(list(values.values()))) for values in (before, after))
        between = extremes(before, "{:+.1f}")
        text = (
            f"Chosen less rejected is {signed(bias)} {unit} without control, the mean over languages"
            f"{f' ({between})' if between else ''}, and {signed(left)} with the α taken."
        )
    return pd.concat(rows, ignore_index=True), text


def training(metrics: pd.DataFrame, languages: Sequence[str]) -> Reading:
    """What is drawn, step by step; and how far the last round moved what it trains."""
    if metrics.empty:
        return pd.DataFrame(), ""
    steps = curves.end_to_end(metrics)[0]
    names = [str(name) for own in curves.PANELS.values() for name in own]
    names += [*(Metric.REWARDS_MARGINS.of(language) for language in languages)]
    rows = []
    for name in dict.fromkeys(names):
        if curves.logged(metrics, name):
            x, values = curves.binned(steps, metrics[name], curves.POINTS)
            rows.append(pd.DataFrame({"metric": name, "step": x, "value": values}))
    return (pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()), _moved(metrics)


def _moved(metrics: pd.DataFrame) -> str:
    """First and last quarter of the last round, of margins, accuracies and chosen log-probs."""
    last = metrics[metrics["round"] == metrics["round"].max()] if "round" in metrics else metrics
    parts = []
    for name, write in (
        (Metric.REWARDS_MARGINS, "the reward margin goes from {:.2f} to {:.2f} nats"),
        (Metric.REWARDS_ACCURACIES, "the share of margins above 0 from {:.2f} to {:.2f}"),
        (Metric.LOGPS_CHOSEN, "the log-prob of chosen responses from {:.1f} to {:.1f} nats"),
    ):
        if curves.logged(last, name):
            values = last[name].dropna().to_numpy(float)
            quarter = max(1, len(values) // 4)
            parts.append(minus(write.format(values[:quarter].mean(), values[-quarter:].mean())))
    where = f"round {last['round'].iloc[0]:.0f}" if "round" in last and len(last) else "the training"
    return f"From the first to the last quarter of {where}, {', '.join(parts)}." if parts else ""
