"""The starting models of each seed: one SFT model, and an English-aligned model for each variant of the world."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from icr.rundir import Layout

WORLDS = {
    "clean": ("experiment=pocket_english_dpo",),
    "long": ("experiment=pocket_english_dpo_long",),
    # Larger steps, a weaker pull to the reference and moving embeddings: probability leaks to tokens that no one chose.
    "leaky": (
        "experiment=pocket_english_dpo",
        "loss.beta=0.3",
        "loss.alpha=0",
        "optim.lr=1e-3",
        "model.loader.frozen=[]",
    ),
    "kto": ("experiment=pocket_english_dpo", "loss=kto", "loss.beta=1.0", "loss.alpha=0.2"),
}
"""Overrides of the run that aligns the SFT model in English."""


def icr(*words: str, command: str = "run") -> None:
    """Print a command of `icr` with these words, and run it; stops where it fails."""
    print("$ icr", command, *words, flush=True)
    subprocess.run([sys.executable, "-m", "icr", command, *words], check=True)


REWARD_MODEL = "REWARD_MODEL"
"""In an arm's overrides: the folder of the reward model that was trained on the English pairs of the seed."""
TRAIN = Path(__file__).parents[1] / "reward_model/train.py"


def start(runs: Path, world: str, seed: int | str) -> tuple[Path, Path]:
    """Folders of the aligned model and of its SFT model, whether or not they are built yet."""
    home = runs / "starts" / str(seed)
    return Layout(home / world).round(0).model, Layout(home / "sft").round(0).model


def build(runs: Path, world: str, seed: int) -> None:
    """Build the models of a seed, or go on where an earlier build stopped: seven minutes on one core for the first."""
    home = runs / "starts" / str(seed)
    if not Layout(home / "sft").summary.is_file():
        icr("experiment=pocket_sft", f"seed={seed}", f"run.dir={home / 'sft'}")
    if not Layout(home / world).summary.is_file():
        _, sft = start(runs, world, seed)
        icr(*WORLDS[world], f"seed={seed}", f"model.path={sft}", f"run.dir={home / world}")


def reward_model(runs: Path, seed: int | str) -> Path:
    """Folder of a seed's reward model, whether or not it is trained yet."""
    return runs / "starts" / str(seed) / "reward_model"


def train_reward_model(runs: Path, seed: int) -> None:
    """Train the rival of the implicit reward on the pairs that the clean world's aligned model has learnt from."""
    to, (aligned, sft) = reward_model(runs, seed), start(runs, "clean", seed)
    if not (to / "model.safetensors").is_file():
        options = {"--to": to, "--run": aligned.parents[1], "--sft": sft, "--seed": seed}
        words = [str(word) for option in options.items() for word in option]
        subprocess.run([sys.executable, str(TRAIN), *words], check=True)
