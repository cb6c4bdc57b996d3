"""What trackers show of a round beside its figures: samples as a table, and where its pairs come from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from icr.rundir import Layout, manifest
from icr.rundir.files import read_frame
from icr.rundir.layout import round_stages
from icr.rundir.summary import own_pairs

SAMPLE = ["id", "language", "k"]
"""What tells a sample from the others of its round."""


def samples(directory: Path, round: int, per_language: int) -> pd.DataFrame:
    """Responses of a round with their rewards, and what became of them; empty where nothing was sampled.

    Returns:
        `per_language` rows of each language, in the order of the prompts, with the columns `id, language, k, prompt,
        text, reward` (nats), `tokens, usable` and `role`: `chosen`, `rejected`, both, or `""`.
    """
    files = Layout(directory).round(round)
    responses = read_frame(files.responses, [*SAMPLE, "prompt", "text"])
    rewards = read_frame(files.rewards, [*SAMPLE, "reward", "tokens", "usable"])
    if responses is None or rewards is None or responses.empty or rewards.empty:
        return pd.DataFrame(columns=SAMPLE)
    rows = responses.merge(rewards, on=SAMPLE).groupby("language", sort=False).head(per_language)
    roles = _roles(read_frame(files.pairs, ["id", "language", "source", "chosen_k", "rejected_k"]))
    keys = rows[SAMPLE].itertuples(index=False, name=None)
    return rows.assign(role=[", ".join(roles.get(key, ())) for key in keys]).reset_index(drop=True)


def lineage(directory: Path, round: int, config: Mapping[str, Any]) -> dict[str, Any]:
    """Where a round's pairs come from: by paths, and by the versions that the manifest knows, which follow content.

    Args:
        config: the run's settings, without secrets.
    """
    files, stages = Layout(directory).round(round), round_stages(round)
    made = manifest.read(Layout(directory).manifest)["stages"]
    sampled, rewarded = (made[stage]["key"]["upstream"] if stage in made else {} for stage in stages.data[:2])
    start = config.get("model", {}).get("path")
    pairs = read_frame(files.pairs, ["language"])
    holds = made[stages.pairs]["files"] if stages.pairs in made else {}
    return {
        "round": round,
        "pairs": {} if pairs is None or pairs.empty else pairs["language"].value_counts(sort=False).to_dict(),
        "sampled_by": round_stages(round - 1).model if round else start,
        "sampled_by_version": sampled.get("policy"),
        "prompts_hash": sampled.get("prompts"),
        "reward_pair": dict(config.get("reward_pair", {})),
        "reward_policy_version": rewarded.get("reward_policy"),
        "reward_reference_version": rewarded.get("reward_reference"),
        "files": {name: dict(content) for name, content in holds.items()},
    }


def _roles(pairs: pd.DataFrame | None) -> dict[tuple[Any, ...], list[str]]:
    """`chosen` and `rejected` by sample, of the round's own pairs."""
    found: dict[tuple[Any, ...], list[str]] = {}
    if pairs is None or pairs.empty:
        return found
    for role in ("chosen", "rejected"):
        for key in dict.fromkeys(own_pairs(pairs)[["id", "language", f"{role}_k"]].itertuples(index=False, name=None)):
            found.setdefault(key, []).append(role)
    return found
