"""One optimiser step of DPO + NLL: ours, TRL's DPOTrainer, and a plain step with full logits.

All three start from the same weights, take the same pairs in the same order under the same AdamW in float32, one
micro-batch a step, and must have the same losses. The reference is the starting policy, its log-probs computed before.
What is timed is what a trainer does for a step: collate, forward, backward, optimiser; loops and logging are left out.

    python experiments/benchmarks/train.py
"""

from __future__ import annotations

import argparse
import importlib.metadata
import itertools
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace

import numpy as np
import torch
import torch.nn.functional as F
from common import (
    SPECIAL,
    alternate,
    arguments,
    parameters,
    peak_memory,
    prompt_ids,
    random_llama,
    random_responses,
    report,
    response_lengths,
    start,
)

from icr.data.collate import collate
from icr.logps import score
from icr.losses import DPO
from icr.modules.preference import PreferenceModule
from icr.modules.schedule import Schedule
from icr.types import PreferencePair, StepTotals

BETA, LR = 0.1, 1e-5
PAD = SPECIAL.index("<|pad|>")

Step = Callable[[], float]
"""Takes the next micro-batch through forward, backward and optimiser, and returns its loss."""


def batches(options: argparse.Namespace, vocabulary: int) -> list[list[PreferencePair]]:
    """The micro-batches, in order: real prompts, response lengths of real outputs."""
    count = options.pairs * options.batches
    # The ids of the prompts are those of the 32k tokenizer; a larger vocabulary is what they are embedded in.
    found = prompt_ids(options.data, 1000, seed=options.seed)
    prompts = [ids for ids in found if len(ids) <= options.prompt_tokens][:count]
    lengths = response_lengths(options.data, options.response_tokens)
    drawn = np.random.default_rng(options.seed).choice(lengths, 2 * count).tolist()
    responses = random_responses(drawn, vocabulary, options.seed)
    pairs = [
        PreferencePair(str(i), "en", "", "", "", prompt, responses[2 * i], responses[2 * i + 1])
        for i, prompt in enumerate(prompts)
    ]
    return [pairs[cut : cut + options.pairs] for cut in range(0, count, options.pairs)]


def adamw(model: torch.nn.Module) -> torch.optim.AdamW:
    """The same for all three: as ICR has it."""
    return torch.optim.AdamW(model.parameters(), lr=LR, weight_decay=0.0)


def referenced(model, parts: list[list[PreferencePair]]) -> None:
    """Write the reference's log-probs into the pairs."""
    pairs = list(itertools.chain(*parts))
    sides = [("chosen", [(p.prompt_ids, p.chosen_ids) for p in pairs])]
    sides += [("rejected", [(p.prompt_ids, p.rejected_ids) for p in pairs])]
    for side, sequences in sides:
        for pair, values in zip(pairs, score(model, sequences, tokens_per_batch=1024), strict=True):
            object.__setattr__(pair, f"reference_{side}_logp", float(values.sum(dtype=np.float64)))


def ours(options: argparse.Namespace, vocabulary: int) -> Step:
    """`PreferenceModule`, driven as Lightning drives it."""
    model, parts = random_llama(vocabulary, seed=options.seed), batches(options, vocabulary)
    referenced(model, parts)
    objective = DPO(beta=BETA, alpha=1.0, nll_reduction="token")
    module = PreferenceModule(model.train(), objective, torch.optim.AdamW, Schedule())
    module._trainer = SimpleNamespace(accumulate_grad_batches=1, global_step=0)
    optimizer, turns = adamw(model), itertools.cycle(parts)

    def step() -> float:
        pairs = next(turns)
        totals = StepTotals(pairs=len(pairs), chosen_tokens=sum(len(pair.chosen_ids) for pair in pairs))
        batch = collate(pairs, totals, rejected=True, reference=True)
        optimizer.zero_grad(set_to_none=True)
        loss = module.training_step(batch, 0)
        loss.backward()
        optimizer.step()
        module._step_metrics.clear()
        return loss.item()

    return step


def trl(options: argparse.Namespace, vocabulary: int, *, responses_only: bool = False) -> Step:
    """`DPOTrainer.training_step`, on token ids given to it; it computes its own reference log-probs.

    Args:
        responses_only: TRL's head takes the response positions only on a GPU and every position elsewhere, to keep its
            shapes; this has it do on this machine what it does there.
    """
    from common import tokenizer
    from datasets import Dataset, disable_progress_bars
    from transformers.utils import logging
    from trl import DPOConfig, DPOTrainer
    from trl.trainer import utils

    def on_gpu(device: torch.device) -> bool:
        return responses_only or device.type == "cuda"

    warnings.filterwarnings("ignore")
    disable_progress_bars()
    logging.set_verbosity_error()

    class Tokenised(DPOTrainer):
        def _prepare_dataset(self, dataset, *args, **kwargs):
            return dataset

    names = ("prompt_ids", "chosen_ids", "rejected_ids")
    parts = batches(options, vocabulary)
    folder = tempfile.mkdtemp(prefix="icr_benchmark_trl_")
    trainer = Tokenised(
        model=random_llama(vocabulary, seed=options.seed),
        args=DPOConfig(
            output_dir=folder,
            per_device_train_batch_size=options.pairs,
            precompute_ref_log_probs=True,
            loss_type=["sigmoid", "sft"],
            loss_weights=[1.0, 1.0],
            beta=BETA,
            max_length=None,
            gradient_checkpointing=False,
            bf16=False,
            use_cpu=True,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_list([{name: getattr(p, name) for name in names} for p in itertools.chain(*parts)]),
        processing_class=tokenizer(options.data),
    )
    trainer.current_gradient_accumulation_steps = 1
    rows = trainer.train_dataset.to_list()
    turns = itertools.cycle([rows[cut : cut + options.pairs] for cut in range(0, len(rows), options.pairs)])
    optimizer = adamw(trainer.model)

    def step() -> float:
        utils._use_triton = on_gpu
        batch = trainer.data_collator(next(turns))
        optimizer.zero_grad(set_to_none=True)
        loss = trainer.training_step(trainer.model, batch)
        optimizer.step()
        trainer._metrics["train"].clear()
        return loss.item()

    return step


def plain(options: argparse.Namespace, vocabulary: int) -> Step:
    """Padded rows of prompt and response, the logits of all of them, a log-softmax, a gather."""
    model, parts = random_llama(vocabulary, seed=options.seed), batches(options, vocabulary)
    referenced(model, parts)
    model.train()
    optimizer, turns = adamw(model), itertools.cycle(parts)

    def step() -> float:
        pairs = next(turns)
        prompts = [pair.prompt_ids for pair in pairs] * 2
        responses = [pair.chosen_ids for pair in pairs] + [pair.rejected_ids for pair in pairs]
        width = max(map(len, map(list.__add__, prompts, responses)))
        ids = torch.full((len(prompts), width), PAD)
        attended, answered = torch.zeros_like(ids), torch.zeros(ids.shape, dtype=torch.bool)
        for row, (prompt, response) in enumerate(zip(prompts, responses, strict=True)):
            size = len(prompt) + len(response)
            ids[row, :size], attended[row, :size] = torch.tensor([*prompt, *response]), 1
            answered[row, len(prompt) : size] = True
        optimizer.zero_grad(set_to_none=True)
        logits = model(input_ids=ids, attention_mask=attended, use_cache=False).logits[:, :-1]
        logps = logits.log_softmax(-1).gather(2, ids[:, 1:, None]).squeeze(2) * answered[:, 1:]
        chosen, rejected = logps.sum(1).chunk(2)
        reference = [torch.tensor([getattr(p, f"reference_{s}_logp") for p in pairs]) for s in ("chosen", "rejected")]
        preference = -F.logsigmoid(BETA * (chosen - reference[0] - rejected + reference[1])).mean()
        loss = preference - logps[: len(pairs)].sum() / answered[: len(pairs), 1:].sum()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


WAYS = {
    "ours": ours,
    "TRL": trl,
    "TRL, head as on a GPU": partial(trl, responses_only=True),
    "plain, full logits": plain,
}


def steps(way: str, options: argparse.Namespace, vocabulary: int) -> Callable[[], object]:
    """For `peak_memory`: the model's weights are there, the rest of the training is to come."""
    step = WAYS[way](options, vocabulary)
    return lambda: [step() for _ in range(2)]


def measure(options: argparse.Namespace, vocabulary: int) -> list[dict[str, object]]:
    """The rows of one vocabulary."""
    rows = [{"vocabulary": vocabulary, "way": name} for name in WAYS]
    if options.what != "memory":
        losses: dict[str, list[float]] = {name: [] for name in WAYS}
        ready = {name: setup(options, vocabulary) for name, setup in WAYS.items()}
        timings = alternate(
            {name: (lambda name=name, step=step: losses[name].append(step())) for name, step in ready.items()},
            options.repeats,
            warm_up=False,
        )
        del ready
        for name, values in losses.items():
            np.testing.assert_allclose(values, losses["ours"], rtol=0, atol=1e-4, err_msg=f"losses of {name}")
        assert max(losses["ours"]) - min(losses["ours"]) > 1e-2, "the loss does not move"
        for row in rows:
            name = row["way"]
            row["seconds a step"] = timings[name].median
            row["ours is faster by"] = timings[name].ratio
            row["loss is off by"] = f"{np.abs(np.subtract(losses[name], losses['ours'])).max():.0e}"
    if options.what != "time":
        weights = parameters(random_llama(vocabulary)) * 4 / 2**20
        for row in rows:
            row["peak MiB"] = weights + peak_memory(steps, row["way"], options, vocabulary)
            row["peak of ours over it"] = rows[0]["peak MiB"] / row["peak MiB"]
    return rows


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__)
    parser.add_argument("--vocabularies", type=int, nargs="+", default=[32_000, 128_000])
    parser.add_argument("--pairs", type=int, default=4, help="of a micro-batch, which is an optimiser step")
    parser.add_argument("--batches", type=int, default=6, help="micro-batches that the steps go through")
    parser.add_argument("--prompt-tokens", type=int, default=256, help="longer prompts are left out")
    parser.add_argument("--response-tokens", type=int, default=128, help="responses are cut here")
    parser.add_argument("--what", choices=["both", "time", "memory"], default="both")
    options = parser.parse_args()
    start(options)
    version = importlib.metadata.version("trl")
    assert version.startswith("1."), f"written for TRL 1.16, found {version}"
    rows = [row for vocabulary in options.vocabularies for row in measure(options, vocabulary)]
    parts = batches(options, 32_000)
    pairs = list(itertools.chain(*parts))
    tokens = sum(len(p.prompt_ids) + len(p.chosen_ids) + len(p.rejected_ids) for p in pairs) / len(parts)
    wide = [
        2 * len(part) * max(len(p.prompt_ids) + max(len(p.chosen_ids), len(p.rejected_ids)) for p in part)
        for part in parts
    ]
    report(
        "training step",
        rows,
        "trl",
        pairs_a_step=options.pairs,
        tokens_a_step=f"{tokens:.0f} with prompts once, {np.mean(wide):.0f} in padded rows",
        peak="weights, gradients, AdamW and all that two steps need, in a process of its own",
    )


if __name__ == "__main__":
    main()
