"""The method on a real multilingual model, Gemma 3 270M: one command from an empty folder to the tables.

    python experiments/real_model/run.py                               about two hours on two idle cores
    python experiments/real_model/run.py --size small                  a quarter of an hour
    python experiments/real_model/run.py --model google/gemma-3-270m   from a hub or a folder
    python experiments/real_model/run.py --arms demonstrated gentle    other kinds of rounds, too
    python experiments/real_model/run.py --collect                     no runs: tables and pictures of what has been run

Every step is a command of `icr`, which is printed; what is done is left as it is, and what was killed goes on.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
os.environ.setdefault("OMP_NUM_THREADS", "1")

from transformers import AutoTokenizer

from experiments.real_model import collect, obtain
from experiments.real_model.arms import ARMS
from experiments.real_model.data import Data
from experiments.real_model.runner import Runner
from experiments.real_model.size import SIZES, of
from experiments.real_model.steps import Plan
from icr.errors import ICRError
from icr.models.folder import CONFIG

HERE = Path(__file__).parent
DATA = Path(os.environ.get("ICR_SHARED_DATA", HERE.parents[2] / "shared/data"))


def main() -> None:
    """Obtain the model, write the data, run what is missing, and write tables and pictures."""
    given = _arguments()
    home = given.runs.resolve() / given.size
    if not (given.data / "x_alpacaeval").is_dir():
        raise SystemExit(
            f"There are no answers in {given.data}. They are in the authors' public repository, "
            "ZNLP/Implicit-Cross-Lingual-Rewarding; README.md says which go where. Name the folder with --data or "
            "ICR_SHARED_DATA."
        )
    base = _base(given.model, given.runs.resolve())
    data = Data(given.data, home / "data", AutoTokenizer.from_pretrained(base), of(given.size))
    try:
        data.write()
    except ICRError as error:
        raise SystemExit(str(error)) from None
    for what, count in sorted(data.skipped.items()):
        print(f"{what}: {count} pairs left out: the same text twice, or an answer shorter than 16 tokens")
    plan = Plan(home, base, data, of(given.size), given.arms)
    runner = Runner(home, given.jobs)
    if not given.collect:
        runner.run(list(plan.steps()))
    collect.write(plan, runner.attempts, HERE if given.size == "laptop" else home)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="laptop")
    parser.add_argument("--model", default="registry", help="folder or hub name; default: packages of the registry")
    parser.add_argument("--data", type=Path, default=DATA, help="folder with x_alpacaeval and ultrafeedback_parallel")
    parser.add_argument("--arms", nargs="*", choices=list(filter(None, ARMS)), default=[], help="other kinds of rounds")
    parser.add_argument("--runs", type=Path, default=Path("runs/real_model"), help="where everything goes")
    parser.add_argument("--jobs", type=int, default=2, help="steps at a time, one core each")
    parser.add_argument("--collect", action="store_true", help="run nothing")
    return parser.parse_args()


def _base(model: str, runs: Path) -> Path:
    """The pretrained model: a folder, a name on a hub, or what is made of the registry's file, once."""
    if model != "registry":
        return Path(model).resolve() if Path(model).is_dir() else Path(model)
    folder = runs / "base"
    if not (folder / CONFIG).is_file():
        words = ["export", str(obtain.from_registry(runs / "registry")), "--to", str(folder), "--dtype", "bfloat16"]
        print("$ icr", *words, flush=True)
        subprocess.run([sys.executable, "-m", "icr", *words], check=True)
    return folder


if __name__ == "__main__":
    main()
