"""Trains a reward model for the embedded world: a head of one label on its SFT model, from English judged pairs.

    python experiments/reward_model/train.py --to runs/reward_model
    python -m icr.run reward=model reward.path=runs/reward_model reward.dtype=float32

The pairs are those of `experiment=pocket_english_dpo`, on which the English-aligned model was trained, too; the loss is
Bradley–Terry's, `−log σ(r(x, y_w) − r(x, y_l))`. Takes two minutes on one core.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from transformers import AutoModelForSequenceClassification

from icr.models import Loader
from icr.pocket.assets import folder
from icr.rundir import Layout, PairTable
from icr.types import PreferencePair


def make_pairs(run: Path) -> None:
    """Judge pairs of the shipped SFT model's own samples, as the English-aligned model has them."""
    overrides = ["experiment=pocket_english_dpo", "evaluation=none", "trainer.max_steps=1", f"run.dir={run}"]
    subprocess.run([sys.executable, "-m", "icr.run", *overrides], check=True)


def main() -> None:
    """Train, and say how many of the held-out pairs are ordered as they were judged."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, required=True, help="folder of the reward model")
    parser.add_argument(
        "--run", type=Path, help="an English DPO run whose pairs are taken; none makes the shipped model's"
    )
    parser.add_argument("--sft", type=Path, default=folder("sft"), help="the model that the head is put on")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--lr", type=float, default=3e-4)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(1)
    run = arguments.run or arguments.to.with_name(f"{arguments.to.name}_pairs")
    if not arguments.run:
        make_pairs(run)
    pairs = PairTable(PreferencePair).read(Layout(run).round(0).pairs)
    renderer = Loader().renderer(str(arguments.sft))
    model = AutoModelForSequenceClassification.from_pretrained(arguments.sft, num_labels=1)
    model.config.pad_token_id = renderer.tokenizer.pad_token_id
    sides = [
        [
            renderer.ids([{"role": "user", "content": pair.prompt}, {"role": "assistant", "content": answer}])
            for answer in (pair.chosen, pair.rejected)
        ]
        for pair in pairs
    ]
    order = torch.randperm(len(sides)).tolist()
    held, trained = order[: len(order) // 10], order[len(order) // 10 :]

    def margins(batch: list[int]) -> torch.Tensor:
        rows = [torch.tensor(sides[i][side]) for side in (0, 1) for i in batch]
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=model.config.pad_token_id)
        mask = (torch.arange(ids.shape[1]) < torch.tensor([[len(row)] for row in rows])).long()
        better, worse = model(input_ids=ids, attention_mask=mask).logits.squeeze(-1).chunk(2)
        return better - worse

    optimizer = torch.optim.AdamW(model.parameters(), lr=arguments.lr, weight_decay=0.0)
    for epoch in range(arguments.epochs):
        total, shuffled = 0.0, [trained[i] for i in torch.randperm(len(trained)).tolist()]
        for start in range(0, len(shuffled), 32):
            loss = -F.logsigmoid(margins(shuffled[start : start + 32])).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(shuffled[start : start + 32])
        with torch.no_grad():
            right = sum((margins(held[cut : cut + 64]) > 0).sum().item() for cut in range(0, len(held), 64))
        print(f"epoch {epoch}: loss {total / len(trained):.3f}, held-out {right / len(held):.3f} of {len(held)}")
    model.save_pretrained(arguments.to)
    renderer.tokenizer.save_pretrained(arguments.to)


if __name__ == "__main__":
    main()
