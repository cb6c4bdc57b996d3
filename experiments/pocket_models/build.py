"""Builds the embedded world's starting models with the project's own stages: SFT, then English DPO.

    python experiments/pocket_models/build.py                        into the package, from seed 0
    python experiments/pocket_models/build.py --seed 1 --runs runs/seeds/1 --keep

`dpo_en_long` learns from labels that like length (`data=pocket_long`). Takes about seven minutes on one core. What is
built is evaluated, and its figures are stored beside the models.
"""

from __future__ import annotations

import argparse
import importlib.resources
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from icr.rundir import Layout, Summary, open_run

ASSETS = Path(str(importlib.resources.files("icr.pocket"))) / "assets"
ALIGNED = {"dpo_en": "pocket_english_dpo", "dpo_en_long": "pocket_english_dpo_long"}
"""The experiment that makes each English-aligned model."""


def icr(*overrides: str) -> None:
    """`python -m icr.run` with these overrides; stops the build where it fails."""
    command = [sys.executable, "-m", "icr.run", *overrides]
    print("$ python -m icr.run", *overrides, flush=True)
    subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})


def build(seed: int, runs: Path) -> dict[str, Path]:
    """Train the models under `runs`, or go on where an earlier build stopped; returns their folders by name."""
    icr("experiment=pocket_sft", f"seed={seed}", f"run.dir={runs / 'sft'}")
    sft = trained(runs / "sft")
    for name, experiment in ALIGNED.items():
        icr(f"experiment={experiment}", f"seed={seed}", f"model.path={sft}", f"run.dir={runs / name}")
    return {"sft": sft, **{name: trained(runs / name) for name in ALIGNED}}


def trained(run: Path) -> Path:
    """The model of a run of one round."""
    return Layout(run).round(0).model


def ship(models: dict[str, Path], runs: Path, seed: int) -> None:
    """Copy the models into the package, with the figures that they were built to."""
    for name, folder in models.items():
        shutil.rmtree(ASSETS / name, ignore_errors=True)
        shutil.copytree(folder, ASSETS / name)
    summaries = {name: open_run(runs / name).summary for name in models}
    built = {
        "seed": seed,
        "versions": summaries["sft"].versions,
        "english": {name: _english(summary) for name, summary in summaries.items()},
    }
    (ASSETS / "built.json").write_text(json.dumps(built, indent=1) + "\n", encoding="utf-8")


def _english(summary: Summary) -> dict[str, float]:
    """Figures in English of the model that the run made."""
    return {metric: values["en"] for metric, values in summary.road[-1].figures.items()}


def main() -> None:
    """Build, and ship unless told to keep the package as it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of initialisation, demonstrations, samples and labels")
    parser.add_argument("--runs", type=Path, default=Path("runs/pocket_models"), help="where the runs lie")
    parser.add_argument("--keep", action="store_true", help="leave the package's models as they are")
    arguments = parser.parse_args()
    models = build(arguments.seed, arguments.runs)
    if not arguments.keep:
        ship(models, arguments.runs, arguments.seed)
        print(f"shipped into {ASSETS}")


if __name__ == "__main__":
    main()
