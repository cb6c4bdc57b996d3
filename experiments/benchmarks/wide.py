"""A small model with a large vocabulary, Gemma 3 270M's shapes: what scoring, training and sampling gain for it.

Random weights, random ids. Each task as it is, with what makes it quick taken away, and by transformers' full logits.
Log-probs, gradients and tokens of all ways must agree before anything is printed.

    python experiments/benchmarks/wide.py
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from unittest import mock

import numpy as np
import torch
from common import alternate, arguments, parameters, report, start
from peft import LoraConfig
from transformers import Gemma3ForCausalLM, Gemma3TextConfig

from icr.logps import lay_out, products, quick_products, score, tiles, token_logps
from icr.sampling import drawing
from icr.sampling.decode import decode

PROMPT, RESPONSE = 100, 80
"""Tokens, as in the experiments with the real weights."""


def gemma(seed: int) -> Gemma3ForCausalLM:
    """Gemma 3 270M with random weights in float32, in evaluation mode."""
    torch.manual_seed(seed)
    config = Gemma3TextConfig(
        vocab_size=262_144,
        hidden_size=640,
        intermediate_size=2048,
        num_hidden_layers=18,
        num_attention_heads=4,
        num_key_value_heads=1,
        head_dim=256,
        query_pre_attn_scalar=256,
        sliding_window=512,
        initializer_range=0.04,
    )
    return Gemma3ForCausalLM(config).eval()


def pairs(count: int, seed: int) -> list[tuple[list[int], list[int]]]:
    """Two responses to each of `count` prompts, one after the other."""
    draw = np.random.default_rng(seed)
    drawn = [draw.integers(5, 262_000, (3, max(PROMPT, RESPONSE))).tolist() for _ in range(count)]
    return [(prompt[:PROMPT], answer[:RESPONSE]) for prompt, *answers in drawn for answer in answers]


@contextmanager
def mkl() -> Iterator[None]:
    """Products as torch has them by itself."""
    with mock.patch.object(products, "is_wide", return_value=False):
        yield


@contextmanager
def as_before() -> Iterator[None]:
    """Besides, the slope of the head from logits that are computed again, and a sort of the whole vocabulary."""
    simple = tiles.scaled
    # A copy is taken for a scaling, whose slope needs the logits.
    copied = mock.patch.object(tiles, "scaled", lambda logits, config: simple(logits, config).view_as(logits))
    with mkl(), copied, mock.patch.object(drawing, "MANY", 2**30):
        yield


def plain(model: Gemma3ForCausalLM, sequences: Sequence[tuple[list[int], list[int]]]) -> torch.Tensor:
    """transformers' logits of all responses at once; rows are of one length."""
    ids = torch.tensor([[*prompt, *answer] for prompt, answer in sequences])
    logits = model(input_ids=ids, use_cache=False, logits_to_keep=RESPONSE + 1).logits[:, :-1]
    return logits.log_softmax(-1).gather(2, ids[:, PROMPT:, None]).flatten()


def scoring(model: Gemma3ForCausalLM, options: argparse.Namespace) -> dict[str, Callable[[], torch.Tensor]]:
    """Log-probs of the responses."""
    work = pairs(options.pairs, options.seed)

    def ours() -> torch.Tensor:
        return torch.from_numpy(np.concatenate(score(model, work, tokens_per_batch=4096)))

    def theirs() -> torch.Tensor:
        with torch.inference_mode():
            return torch.cat([plain(model, work[at : at + 2]) for at in range(0, len(work), 2)])

    return {"ours": ours, "ours, MKL": mkl()(ours), "transformers": theirs}


def training(model: Gemma3ForCausalLM, options: argparse.Namespace) -> dict[str, Callable[[], torch.Tensor]]:
    """Gradients of an adapter, of a micro-batch of pairs."""
    work = pairs(options.micro_batch, options.seed)
    layout = lay_out(work, [[2 * i, 2 * i + 1] for i in range(options.micro_batch)])
    weights = torch.linspace(-1, 1, len(layout.targets))

    def gradients(logps: torch.Tensor) -> torch.Tensor:
        with quick_products(model):
            (logps * weights).sum().backward()
        found = torch.cat([p.grad.flatten() for p in model.parameters() if p.requires_grad])
        model.zero_grad(set_to_none=True)
        return found

    ours = lambda: gradients(token_logps(model, layout))  # noqa: E731
    theirs = mkl()(lambda: gradients(plain(model, work)))
    return {"ours": ours, "ours, MKL": mkl()(ours), "ours, before": as_before()(ours), "transformers": theirs}


def decoding(model: Gemma3ForCausalLM, options: argparse.Namespace) -> dict[str, Callable[[], torch.Tensor]]:
    """Tokens of a nucleus of 0.9, few of them. At this temperature random weights are as sure as trained ones at 1."""
    prompts = [prompt for prompt, _ in pairs(2, options.seed)[::2]]
    uniforms = np.random.default_rng(options.seed).random((2, options.rows // 2, 8))

    def ours() -> torch.Tensor:
        found = decode(model, prompts, uniforms, stop_ids=frozenset(), temperature=0.1, top_p=0.9)
        return torch.tensor(found).flatten().float()

    return {"ours": ours, "ours, MKL": mkl()(ours), "ours, before": as_before()(ours)}


TASKS = (scoring, decoding, training)
"""In this order: the last one puts an adapter on the model."""


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__)
    parser.add_argument("--pairs", type=int, default=6, help="that are scored")
    parser.add_argument("--micro-batch", type=int, default=2, help="pairs of a training step")
    parser.add_argument("--rows", type=int, default=16, help="that are sampled")
    options = parser.parse_args()
    start(options)
    model = gemma(options.seed).requires_grad_(False)
    size = parameters(model)
    rows = []
    for task in TASKS:
        if task is training:
            model.add_adapter(LoraConfig(r=16, target_modules=r".*_proj", init_lora_weights=False))
        ways = task(model, options)
        values: dict[str, torch.Tensor] = {}
        turns = {name: lambda name=name, way=way, into=values: into.update({name: way()}) for name, way in ways.items()}
        timings = alternate(turns, options.repeats)
        for name, timing in timings.items():
            apart = values[name] - values["ours"]
            assert float(apart.norm()) <= 1e-4 * float(values["ours"].norm()), f"{name} of {task.__name__} is another"
            rows.append(
                {
                    "task": task.__name__,
                    "way": name,
                    "seconds": min(timing.seconds),
                    "times ours": timing.ratio,
                    "apart, at most": f"{float(apart.abs().max()):.0e}",
                }
            )
    report("wide", rows, "peft", parameters=f"{size / 1e6:.0f} M", seconds="the shortest turn; ratios are medians")


if __name__ == "__main__":
    main()
