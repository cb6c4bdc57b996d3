"""Scoring and a training step at Llama-3-8B shapes on a GPU, as a share of its matmul peak, and against padded rows.

Random weights in bfloat16; prompts and responses of the lengths below, random ids. The peak is the best product of
8192 × 8192 matrices on this very device, so that a share of it is what is lost to everything else. FLOPs are those that
must be done (each prompt once, the head on responses); what is computed again, or for padding, counts as lost.

    python experiments/benchmarks/gpu.py                          # one GPU of 80 GB
    python experiments/benchmarks/gpu.py --layers 8               # a smaller one: the same shapes, fewer layers
    python experiments/benchmarks/gpu.py --shape tiny --device cpu   # tries the script out
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable

import common
import numpy as np
import torch
from score import needed_flops
from transformers import LlamaConfig, LlamaForCausalLM

from icr.logps import (
    MAX_ROW,
    TokenLayout,
    lay_out,
    rows_by_prompt,
    score,
    sequence_sums,
    token_logps,
)
from icr.logps.scoring import plan
from icr.losses import DPO
from icr.types import PolicyLogps, ReferenceLogps, StepTotals

SHAPES = {
    "8b": dict(
        vocab_size=128_256,
        hidden_size=4096,
        intermediate_size=14_336,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=8,
    ),
    "tiny": dict(
        vocab_size=1000,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    ),
}


def model_of(options: argparse.Namespace) -> LlamaForCausalLM:
    """Random weights, made on the device."""
    shape = SHAPES[options.shape]
    if options.layers:
        shape = shape | {"num_hidden_layers": options.layers}
    config = LlamaConfig(**shape, max_position_embeddings=8192, tie_word_embeddings=False, dtype="bfloat16")
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(options.device):
            return LlamaForCausalLM(config).eval()
    finally:
        torch.set_default_dtype(torch.float32)


def sequences_of(options: argparse.Namespace, vocabulary: int, k: int) -> list[tuple[list[int], list[int]]]:
    """`K` responses to each of a few prompts; lengths from a log-normal with the means asked for, cut at four times."""
    draw = np.random.default_rng(options.seed)

    def lengths(mean: int, count: int) -> list[int]:
        drawn = draw.lognormal(np.log(mean) - 0.18, 0.6, count)
        return np.clip(drawn, 2, 4 * mean).round().astype(int).tolist()

    prompts = [draw.integers(4, vocabulary, n).tolist() for n in lengths(options.prompt_tokens, options.prompts)]
    counts = lengths(options.response_tokens, options.prompts * k)
    responses = common.random_responses(counts, vocabulary, options.seed)
    return [(prompts[place // k], response) for place, response in enumerate(responses)]


@torch.inference_mode()
def padded(model: LlamaForCausalLM, sequences: list, budget: int) -> None:
    """The same engine, a row for each sequence."""
    for rows in plan(range(len(sequences)), sequences, budget, share=False):
        token_logps(model, lay_out([sequences[row[0]] for row in rows]).to(model.device))


def training_step(model: LlamaForCausalLM, layout: TokenLayout) -> None:
    """Forward and backward of DPO + NLL, chosen responses first; the optimiser is the same for all and left out."""
    values = token_logps(model, layout)
    sums, pairs = sequence_sums(values, layout.lengths), len(layout.lengths) // 2
    chosen = layout.lengths[:pairs]
    policy = PolicyLogps(sums[:pairs], sums[pairs:], values[: int(chosen.sum())], chosen)
    reference = ReferenceLogps(sums[:pairs].detach(), sums[pairs:].detach())
    DPO(beta=0.1, alpha=1.0)(policy, reference, StepTotals(pairs, int(chosen.sum()))).loss.backward()
    model.zero_grad()


def with_attention(model: LlamaForCausalLM, name: str, run: Callable[[], object]) -> Callable[[], object]:
    """`run` under an attention implementation."""

    def switched() -> object:
        model.set_attn_implementation(name)
        return run()

    return switched


def measure(name: str, runs: dict, flops: float, peak: float, options: argparse.Namespace) -> list[dict]:
    """A row a way: seconds, share of the peak, memory."""
    timings = common.alternate(runs, options.repeats)
    rows = []
    for way, timing in timings.items():
        memory = None
        if options.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
            runs[way]()
            memory = torch.cuda.max_memory_allocated() / 2**30
        rows.append(
            {
                "phase": name,
                "way": way,
                "seconds": timing.median,
                "times the first": timing.ratio,
                "share of the peak": flops / timing.median / peak,
                "peak GiB": memory,
            }
        )
    return rows


def matmul_peak(device: str) -> float:
    """bfloat16 FLOP/s of the best of twenty square products."""
    size = 8192 if device == "cuda" else 512
    left, right = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    timings = common.alternate({"product": lambda: left @ right}, 20)
    return 2 * size**3 / min(timings["product"].seconds)


def main() -> None:
    """Score, train, print."""
    parser = common.arguments(__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--shape", choices=list(SHAPES), default="8b")
    parser.add_argument("--layers", type=int, help="fewer than the shape has")
    parser.add_argument("--prompts", type=int, default=8, help="of scoring; as many pairs make a training step")
    parser.add_argument("-k", type=int, default=10, help="responses a prompt, in scoring")
    parser.add_argument("--prompt-tokens", type=int, default=280, help="mean")
    parser.add_argument("--response-tokens", type=int, default=400, help="mean")
    parser.add_argument("--tokens-per-batch", type=int, default=16_384)
    options = parser.parse_args()
    common.start(options)
    if options.shape == "8b" and options.device == "cpu":
        parser.error("8B shapes need a GPU; --shape tiny tries the script out")
    model = model_of(options)
    vocabulary, peak = model.config.vocab_size, matmul_peak(options.device)
    sequences, budget = sequences_of(options, vocabulary, options.k), options.tokens_per_batch

    # On a CPU, FlexAttention has no backward pass, and does not compile in bfloat16.
    attentions = ("sdpa", "flex_attention") if options.device == "cuda" else ("sdpa",)

    def ways(run: Callable[[], object]) -> dict[str, Callable[[], object]]:
        return {f"ours, {name}": with_attention(model, name, run) for name in attentions}

    runs = ways(functools.partial(score, model, sequences, tokens_per_batch=budget))
    runs["a row a sequence, sdpa"] = with_attention(model, "sdpa", lambda: padded(model, sequences, budget))
    rows = measure("scoring, one model", runs, sum(needed_flops(model, sequences)), peak, options)

    pairs = sequences_of(options, vocabulary, 2)
    pairs = pairs[::2] + pairs[1::2]
    together = lay_out(pairs, rows_by_prompt(pairs, range(len(pairs)), MAX_ROW)).to(options.device)
    model.train()
    model.gradient_checkpointing_enable({"use_reentrant": False})
    runs = ways(lambda: training_step(model, together))
    apart = together.apart()
    runs["a row a sequence, sdpa"] = with_attention(model, "sdpa", lambda: training_step(model, apart))
    rows += measure("training step", runs, 3 * sum(needed_flops(model, pairs)), peak, options)
    common.report(
        "gpu",
        rows,
        "cut-cross-entropy",
        shape=options.shape,
        layers=model.config.num_hidden_layers,
        parameters=common.parameters(model),
        matmul_peak_TFLOP_per_second=peak / 1e12,
        scoring=f"{options.prompts} prompts × {options.k} responses of {sum(len(r) for _, r in sequences)} tokens",
        training=f"{options.prompts} pairs, gradient checkpointing, without the optimiser",
    )


if __name__ == "__main__":
    main()
