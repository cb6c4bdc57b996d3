"""Runs the experiments: each claim's arms, one sweep over seeds each, then its results, its picture and its page.

    python experiments/run.py                        every claim, five seeds
    python experiments/run.py nll_weight rounds      these alone
    python experiments/run.py --collect              no runs: tables and pictures of what has been run

Runs that are finished are left as they are, and claims share the arms that they have in common.
"""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))

from experiments.lab import arms, claim, page, plot, worlds

HERE = Path(__file__).parent


def main() -> None:
    """Run what is missing, and write the folders of the claims and the table of all."""
    names = sorted(path.parent.name for path in HERE.glob("*/claim.yaml"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("claims", nargs="*", metavar="claim", help=f"of {', '.join(names)}; all if none is named")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, one core each")
    parser.add_argument("--runs", type=Path, default=Path("runs/experiments"), help="where the runs lie")
    parser.add_argument("--collect", action="store_true", help="run nothing")
    given = parser.parse_args()
    if unknown := sorted({*given.claims} - {*names}):
        parser.error(f"no claim is named {', '.join(unknown)}. Claims: {', '.join(names)}.")
    os.environ["OMP_NUM_THREADS"] = "1"
    runs = given.runs.resolve()
    claims = [claim.read(HERE / name) for name in given.claims or names]
    if not given.collect:
        run(claims, runs, given.seeds, given.jobs)
    for one in claims:
        collect(one, runs)
    page.write_overview(HERE, [claim.read(HERE / name) for name in names])


def run(claims: list[claim.Claim], runs: Path, seeds: list[int], jobs: int) -> None:
    """Run every arm that these claims have, once."""
    wanted = dict.fromkeys(arm for one in claims for arm in one.arms.values())
    needed = dict.fromkeys(arm.world for arm in wanted)
    rival = any(worlds.REWARD_MODEL in word for arm in wanted for word in arm.overrides)

    def start(seed: int) -> None:
        for world in needed:
            worlds.build(runs, world, seed)
        if rival:
            worlds.train_reward_model(runs, seed)

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(start, seeds))
    for arm in wanted:
        arms.sweep(runs, arm, seeds, jobs)


def collect(one: claim.Claim, runs: Path) -> None:
    """Write `results.csv`, `plot.svg` and the table in `README.md` of a claim from the runs that are there."""
    found = {name: arms.results(runs, arm) for name, arm in one.arms.items()}
    table = pd.concat([rows.assign(arm=name) for name, rows in found.items()])[["arm", *arms.COLUMNS]]
    if not any(found.seeds for contrast, found in page.differences(one, table) if not contrast.control):
        print(f"{one.name}: not run yet")
        return
    folder = HERE / one.name
    table.to_csv(folder / "results.csv", index=False, float_format="%.4f")
    plot.draw(one, table, folder / "plot.svg")
    page.write(one, table, folder)
    print(f"{one.name}: {folder}")


if __name__ == "__main__":
    main()
