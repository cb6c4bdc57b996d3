"""The claim: over full seeds, models rebuilt, ICR lifts the target languages round by round, and its controls do not.

    python experiments/seeds/run.py --seeds 0 1 2

For each seed: SFT from random weights, English DPO, two rounds of ICR with both controls. Writes `results.json` and
prints the table of the README. About eight minutes a seed on one core.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "pocket_models"))
from build import build, icr

from icr.rundir import Summary, open_run

MODELS = (
    "sft",
    "dpo_en",
    "M0",
    "M1",
    "control: nll random M0",
    "control: nll random M1",
    "control: random labels M0",
    "control: random labels M1",
)


def run(seed: int, runs: Path) -> Summary:
    """Build the models of `seed`, run the main job with its controls, and return its summary."""
    models = build(seed, runs)
    icr(
        f"model.path={models['dpo_en']}",
        f"model.reference={models['sft']}",
        "controls=standard",
        f"seed={seed}",
        f"run.dir={runs / 'icr'}",
    )
    return open_run(runs / "icr").summary


def table(results: dict[str, dict]) -> str:
    """Mean target win rate of each model and seed, and reward accuracy, as Markdown."""
    columns = ["seed", "SFT", "DPO-en", "M0", "M1", "NLL control", "random labels", "reward accuracy"]
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    rows = {seed: [result["win_rate"][model] for model in MODELS] for seed, result in results.items()}
    rows["mean"] = [sum(column) / len(column) for column in zip(*rows.values(), strict=True)]
    accuracy = {seed: result["reward_accuracy"]["crosslingual"] for seed, result in results.items()}
    accuracy["mean"] = sum(accuracy.values()) / len(accuracy)
    for seed, values in rows.items():
        sft, dpo, m0, m1, nll0, nll1, random0, random1 = (f"{value:.1f}" for value in values)
        cells = [seed, sft, dpo, m0, m1, f"{nll0} / {nll1}", f"{random0} / {random1}", f"{accuracy[seed]:.2f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run the seeds that have no result yet, and print the table of all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=Path("runs/seeds"), help="where the runs lie")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results.json")
    arguments = parser.parse_args()
    results = {}
    for seed in arguments.seeds:
        summary = run(seed, arguments.runs / str(seed))
        results[str(seed)] = {
            "win_rate": {model.label: model.figure("win_rate") for model in summary.models},
            "reward_accuracy": {name: values["mean"] for name, values in summary.reward_accuracy.items()},
        }
    arguments.results.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(table(results))


if __name__ == "__main__":
    main()
