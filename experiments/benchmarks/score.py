"""Scoring: K responses a prompt under a policy and a reference, ours against the ways of others.

    python experiments/benchmarks/score.py

All ways must give the same scores to 1e-4 nats before anything is timed.
"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from unittest import mock

import common
import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile
from transformers import DynamicCache, LlamaForCausalLM, PreTrainedModel

from icr.logps import joins_rows, shares_prompts
from icr.modules.scorer import ImplicitRewardModule

Sequences = list[tuple[list[int], list[int]]]
Scores = list[float]


# The ways. Each returns `log π(y|x)` of each sequence, in the order given.


def ours(models: Sequence[PreTrainedModel], sequences: Sequences, tokens_per_batch: int = 4096) -> list[Scores]:
    """This package: responses to a prompt share it, the head runs on response positions."""
    scored = ImplicitRewardModule(*models, tokens_per_batch=tokens_per_batch).predict_step(sequences)
    return [[float(pair[side].sum(dtype=np.float64)) for pair in scored] for side in range(2)]


def authors(models: Sequence[PreTrainedModel], sequences: Sequences, rows: int = 3) -> list[Scores]:
    """The authors' algorithm, its mask put right: batches of three as they come, full logits, log-softmax."""
    batches = [range(start, min(start + rows, len(sequences))) for start in range(0, len(sequences), rows)]
    return [in_batches(model, sequences, batches, _log_softmax) for model in models]


def padded(models: Sequence[PreTrainedModel], sequences: Sequences, tokens_per_batch: int = 4096) -> list[Scores]:
    """transformers, batches of a token budget by sorted lengths, the head on all positions, cross-entropy."""
    batches = sorted_batches(sequences, tokens_per_batch)
    return [in_batches(model, sequences, batches, cross_entropy) for model in models]


def sorted_batches(sequences: Sequences, tokens_per_batch: int) -> list[list[int]]:
    """Indices of the sequences of each batch, the longest first; rows times longest row stay within the budget."""
    batches: list[list[int]] = []
    for index in sorted(range(len(sequences)), key=lambda i: -sum(map(len, sequences[i]))):
        if batches and (len(batches[-1]) + 1) * sum(map(len, sequences[batches[-1][0]])) <= tokens_per_batch:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


@torch.inference_mode()
def in_batches(model: PreTrainedModel, sequences: Sequences, batches, token_logps: Callable) -> Scores:
    """Scores by padded batches of the given indices, the head on all positions."""
    scores = [0.0] * len(sequences)
    for batch in batches:
        rows = [torch.tensor([*sequences[index][0], *sequences[index][1]]) for index in batch]
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        attention = torch.nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
        logits = model(input_ids=ids, attention_mask=attention, use_cache=False).logits[:, :-1]
        values = token_logps(logits, ids[:, 1:])
        for place, index in enumerate(batch):
            begin = len(sequences[index][0]) - 1
            scores[index] = float(values[place, begin : begin + len(sequences[index][1])].double().sum())
    return scores


def _log_softmax(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return logits.log_softmax(-1).gather(-1, targets[..., None]).squeeze(-1)


def cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Token log-probs by the fused kernel of torch. Shape `[B, L]`."""
    flat = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
    return -flat.view_as(targets)


@torch.inference_mode()
def shared_cache(models: Sequence[PreTrainedModel], sequences: Sequences) -> list[Scores]:
    """The other way to share a prompt: its cache is filled once, and the responses run as a padded batch behind it."""
    return [_with_cache(model, sequences) for model in models]


def _with_cache(model: PreTrainedModel, sequences: Sequences) -> Scores:
    prompts: dict[tuple[int, ...], list[int]] = {}
    for index, (prompt, _) in enumerate(sequences):
        prompts.setdefault(tuple(prompt), []).append(index)
    scores = [0.0] * len(sequences)
    for prompt, indices in prompts.items():
        cache = DynamicCache(config=model.config)
        decoder = model.get_decoder()
        last = decoder(input_ids=torch.tensor([prompt]), past_key_values=cache).last_hidden_state[:, -1]
        cache.batch_repeat_interleave(len(indices))
        bodies = [torch.tensor(sequences[index][1][:-1], dtype=torch.long) for index in indices]
        ids = torch.nn.utils.rnn.pad_sequence(bodies, batch_first=True)
        hidden = decoder(input_ids=ids, past_key_values=cache).last_hidden_state
        parts = [torch.cat([last, hidden[place, : len(body)]]) for place, body in enumerate(bodies)]
        targets = [torch.tensor(sequences[index][1]) for index in indices]
        chunks = zip(torch.cat(parts).split(512), torch.cat(targets).split(512), strict=True)
        values = torch.cat([_log_softmax_free(model.lm_head(states), ids) for states, ids in chunks])
        for index, value in zip(indices, values.split([len(target) for target in targets]), strict=True):
            scores[index] = float(value.double().sum())
    return scores


def _log_softmax_free(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return logits.gather(1, targets[:, None]).squeeze(1) - logits.logsumexp(1)


class Trl:
    """TRL's reference pass: `DPOTrainer._precompute_ref_logps` itself, on pairs made of the responses to a prompt.

    Each model is the `ref_model` of a trainer, whose fused head then computes log-probs and nothing else. One pair a
    batch pads least and is its fastest here. On a CPU its head takes all positions; `on_gpu` has it take the response
    positions only, as it does where there is Triton.
    """

    def __init__(self, models: Sequence[PreTrainedModel], options: argparse.Namespace, on_gpu: bool = False):
        os.environ.setdefault("TQDM_DISABLE", "1")
        import datasets
        from trl import DPOConfig, DPOTrainer

        datasets.disable_progress_bars()
        logging.getLogger("datasets").setLevel(logging.ERROR)
        self.on_gpu = on_gpu
        self.trainers = []
        for model in models:
            folder = tempfile.mkdtemp(prefix="icr_benchmarks_trl_")
            settings = DPOConfig(folder, report_to=[], use_cpu=True, bf16=False, max_length=None)
            policy = common.random_llama(
                model.config.vocab_size, hidden=8, layers=1, heads=1, key_value_heads=1, intermediate=8
            )
            text = datasets.Dataset.from_list([{"prompt": "<|user|>", "chosen": "a", "rejected": "b"}])
            fast = common.tokenizer(options.data)
            self.trainers.append(DPOTrainer(policy, model, args=settings, train_dataset=text, processing_class=fast))

    def __call__(self, sequences: Sequences) -> list[Scores]:
        """Scores of both models."""
        from trl.trainer import utils

        with mock.patch.object(utils, "_use_triton", return_value=self.on_gpu):
            return [self._score(trainer, sequences) for trainer in self.trainers]

    def _score(self, trainer, sequences: Sequences) -> Scores:
        from datasets import Dataset

        pairs = [
            {"prompt_ids": prompt, "chosen_ids": chosen, "rejected_ids": rejected}
            for (prompt, chosen), (_, rejected) in zip(sequences[::2], sequences[1::2], strict=True)
        ]
        # A name that no cache knows: TRL keeps what it computed, and would read it back in the second turn.
        dataset = Dataset.from_list(pairs)
        dataset._fingerprint = uuid.uuid4().hex[:16]
        scored = trainer._precompute_ref_logps(dataset, "benchmark", 1)
        columns = scored["ref_chosen_logps"], scored["ref_rejected_logps"]
        return [value for pair in zip(*columns, strict=True) for value in pair]


# The work, and what of it must be done.


def sequences_of(options: argparse.Namespace) -> Sequences:
    """`(prompt, response)` of a few prompts, K responses each, whose lengths have the means of all the data's.

    Sorted by length and cut into equal parts, each part gives the prompt nearest to its mean; responses likewise.
    """
    prompts = sorted(common.prompt_ids(options.data, len(common.english_prompts(options.data))), key=len)
    parts = np.array_split(np.array([len(prompt) for prompt in prompts]), options.prompts)
    chosen = [
        prompts[int(np.abs(part - part.mean()).argmin()) + sum(map(len, parts[:i]))] for i, part in enumerate(parts)
    ]
    parts = np.array_split(np.sort(common.response_lengths(options.data)), options.k)
    lengths = [max(1, round(part.mean())) for part in parts]
    order = np.random.default_rng(options.seed)
    responses = [
        common.random_responses(order.permutation(lengths).tolist(), 32_000, seed=place) for place in range(len(chosen))
    ]
    return [(prompt, response) for prompt, own in zip(chosen, responses, strict=True) for response in own]


def models_of(options: argparse.Namespace) -> tuple[LlamaForCausalLM, LlamaForCausalLM]:
    """Policy and reference."""
    return common.random_llama(seed=0), common.random_llama(seed=1)


WAYS: dict[str, Callable[..., Callable[[Sequences], list[Scores]]]] = {
    "ours": lambda models, options: partial(ours, models),
    "(a) authors' algorithm": lambda models, options: partial(authors, models),
    "(b) TRL": Trl,
    "(b) TRL, head as on a GPU": partial(Trl, on_gpu=True),
    "(c) transformers, sorted": lambda models, options: partial(padded, models),
    "shared cache": lambda models, options: partial(shared_cache, models),
}
"""What makes each way, by name."""


def set_up(options: argparse.Namespace, name: str) -> Callable[[], object]:
    """One way, ready to run, for a process that measures its memory."""
    return partial(WAYS[name](models_of(options), options), sequences_of(options))


def needed_flops(model: LlamaForCausalLM, sequences: Sequences) -> tuple[float, float, float]:
    """FLOPs that one model cannot be spared, of the layers' matrices, the head and attention.

    Each prompt passes the layers once, each response token but the last once; the head serves the response tokens; each
    token attends to those before it and itself.
    """
    config = model.config
    prompts = {tuple(prompt) for prompt, _ in sequences}
    tokens = sum(map(len, prompts)) + sum(len(response) - 1 for _, response in sequences)
    targets = sum(len(response) for _, response in sequences)
    matrices = sum(weight.numel() for weight in model.model.layers.parameters() if weight.ndim == 2)
    seen = sum(len(prompt) * (len(prompt) + 1) / 2 for prompt in prompts)
    for prompt, response in sequences:
        seen += (len(response) - 1) * (len(prompt) + len(response) / 2)
    attention = 4 * seen * config.num_hidden_layers * config.num_attention_heads * config.head_dim
    return 2.0 * tokens * matrices, 2.0 * targets * model.lm_head.weight.numel(), attention


def processed(model: PreTrainedModel, run: Callable[[], object]) -> tuple[int, int]:
    """Tokens, padding included, that pass the layers, and that pass the head, when one model runs `run`."""
    counts = {"layers": 0, "head": 0, "rows": 0}

    def of_layers(_, inputs, __):
        counts["layers"] += inputs[0].shape[0] * inputs[0].shape[1]
        counts["rows"] += inputs[0].shape[0]

    def of_head(_, inputs, __):
        counts["head"] += inputs[0].shape[:-1].numel()

    hooks = [
        model.model.layers[0].mlp.register_forward_hook(of_layers),
        model.lm_head.register_forward_hook(of_head),
    ]
    run()
    for hook in hooks:
        hook.remove()
    # TRL multiplies by the head's weight itself: on a CPU at all places but the last of each row.
    return counts["layers"], counts["head"] or counts["layers"] - counts["rows"]


def check(scores: dict[str, list[Scores]]) -> dict[str, float]:
    """Largest difference of each way's scores from the first way's, in nats.

    Raises:
        ValueError: it is above 1e-4 and a float32 rounding of the score (TRL adds token log-probs up in float32).
    """
    first = np.array(next(iter(scores.values())))
    worst = {}
    for name, values in scores.items():
        difference = np.abs(np.array(values) - first)
        if (difference > 1e-4 + np.finfo(np.float32).eps * np.abs(first)).any():
            raise ValueError(f"{name} gives other scores: they differ by {difference.max():.2g} nats")
        worst[name] = float(difference.max())
    return worst


def profiled(run: Callable[[], object], flops: tuple[float, float, float], rate: float) -> list[str]:
    """What the time of `run` over the bound is made of, in three lines."""
    with profile(activities=[ProfilerActivity.CPU]) as session:
        run()
    seconds = {event.key: event.self_cpu_time_total / 1e6 for event in session.key_averages()}
    total, bound = sum(seconds.values()), sum(flops) / rate
    products = sum(seconds.get(f"aten::{name}", 0) for name in ("mm", "addmm", "bmm", "linear"))
    attention = sum(value for key, value in seconds.items() if "scaled_dot_product" in key)
    rest = total - products - attention
    largest = sorted(((value, key.removeprefix("aten::")) for key, value in seconds.items()), key=lambda item: -item[0])
    others = [f"{key} {value:.2f} s" for value, key in largest if key not in ("mm", "addmm") and "scaled" not in key]
    return [
        f"matrix products: {products:.2f} s of {total:.2f} s, where the bound has {sum(flops[:2]) / rate:.2f} s",
        f"attention: {attention:.2f} s, where the bound has {flops[2] / rate:.2f} s",
        f"all else: {rest:.2f} s ({', '.join(others[:5])}), where the bound of {bound:.2f} s has none",
    ]


def main() -> None:
    """Check, time, measure memory, print."""
    parser = common.arguments(__doc__)
    parser.add_argument("--prompts", type=int, default=2)
    parser.add_argument("-k", type=int, default=10, help="responses a prompt")
    parser.add_argument("--ways", nargs="*", help="those whose names begin so, and ours; all by default")
    options = parser.parse_args()
    common.start(options)
    models, sequences = models_of(options), sequences_of(options)
    runs = {
        name: partial(way(models, options), sequences)
        for name, way in WAYS.items()
        if name == "ours" or not options.ways or name.startswith(tuple(options.ways))
    }
    scores: dict[str, list[Scores]] = {}
    tokens = {}
    for tried in (shares_prompts, joins_rows):
        tried(models[0])  # Once, on tokens that are not the work's.
    for name, run in runs.items():
        tokens[name] = processed(models[0], lambda name=name, run=run: scores.update({name: run()}))
    differences = check(scores)
    flops = tuple(2 * value for value in needed_flops(models[0], sequences))
    shapes = ((1024, 512, 1536), (2048, 512, 512), (512, 512, 32_000))
    rate = max(common.matmul_rate(*shape) for shape in shapes)
    timings = common.alternate(runs, options.repeats, warm_up=False)
    rate = max(rate, *(common.matmul_rate(*shape) for shape in shapes))
    rows = [
        {
            "way": name,
            "seconds": timing.median,
            "times ours": timing.ratio,
            "share of the bound": sum(flops) / rate / timing.median,
            "tokens, layers": tokens[name][0],
            "tokens, head": tokens[name][1] if "on a GPU" not in name else sum(len(part) for _, part in sequences),
            "peak MiB": common.peak_memory(set_up, options, name),
            "differs by at most": f"{differences[name]:.1e}",
        }
        for name, timing in timings.items()
    ]
    common.report(
        "scoring",
        rows,
        "trl",
        prompts=[len(sequences[place][0]) for place in range(0, len(sequences), options.k)],
        responses=f"{options.k} a prompt, of {np.mean([len(response) for _, response in sequences]):.0f} tokens",
        parameters=common.parameters(models[0]),
        TFLOP=sum(flops) / 1e12,
        GFLOP_per_second=rate / 1e9,
        profile=profiled(runs["ours"], flops, rate),
    )


if __name__ == "__main__":
    main()
