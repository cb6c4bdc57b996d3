"""Opens a run, finished or not, and reads its tables: `python examples/read_run.py runs/demo`."""

import sys
from pathlib import Path

from icr import open_run

if __name__ == "__main__":
    run = open_run(Path(sys.argv[1]))
    print(f"{run.directory}: {'finished' if run.finished else 'not finished'}, rounds {run.rounds}")
    for number in run.rounds:
        rewards, pairs = run.table(number, "rewards"), run.table(number, "pairs")
        if rewards is None or pairs is None:
            print(f"round {number} is not paired yet")
            continue
        print(f"\nround {number}: {len(rewards)} scored answers, {len(pairs)} pairs")
        usable = rewards[rewards["usable"]]
        print(usable.groupby("language")[["reward", "tokens"]].mean().round(3).to_string())
        margin = pairs["chosen_reward"] - pairs["rejected_reward"]
        print(f"mean margin {margin.mean():.3f} nats; the widest:")
        widest = pairs.loc[margin.idxmax()]
        print(f"  prompt    {widest['prompt']}\n  chosen    {widest['chosen']}\n  rejected  {widest['rejected']}")
