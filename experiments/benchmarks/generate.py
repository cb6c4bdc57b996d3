"""Sampling K = 10 responses a prompt: ours against `model.generate(num_return_sequences=10)`.

Both take the same prompts, sorted by length, in batches of the same number of rows. Responses end at random: the stop
set is a random part of the vocabulary, large enough that a response of random tokens is about `--mean` tokens long.
What is compared is generated tokens a second; each way draws its own numbers, so that the counts differ a little.

    python experiments/benchmarks/generate.py
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from common import SPECIAL, arguments, english_prompts, parameters, random_llama, report, start, tokenizer
from common import alternate as take_turns
from transformers import PreTrainedModel

from icr.models.loading import LoadedModel
from icr.models.rendering import Renderer
from icr.sampling.transformers_sampler import TransformersSampler
from icr.types import Prompt

PAD = SPECIAL.index("<|pad|>")


def prompts(options: argparse.Namespace) -> list[Prompt]:
    """English prompts of at most `--prompt-tokens` tokens."""
    texts, fast = english_prompts(options.data), tokenizer(options.data)
    short = [text for text in texts if len(fast(text)["input_ids"]) <= options.prompt_tokens]
    drawn = np.random.default_rng(options.seed).permutation(len(short))[: options.prompts]
    return [Prompt(str(i), "en", short[i], short[i]) for i in drawn]


def stop_ids(options: argparse.Namespace, vocabulary: int) -> frozenset[int]:
    """Such a share of the ids that a token ends a response with probability `1 / mean`."""
    share = np.random.default_rng(options.seed + 1).permutation(vocabulary)[: round(vocabulary / options.mean)]
    return frozenset(share.tolist())


def ours(options: argparse.Namespace, policy: LoadedModel, work: list[Prompt]) -> list[int]:
    """`TransformersSampler`; token counts of the responses."""
    longest = max(len(policy.renderer.prompt_ids(prompt.text)) for prompt in work)
    sampler = TransformersSampler(
        n=options.k,
        temperature=options.temperature,
        max_new_tokens=options.new_tokens,
        tokens_per_batch=options.batch * options.k * (longest + options.new_tokens),
    )
    return [len(response.response_ids) for response in sampler.sample(policy, work, ("benchmark",))]


def theirs(options: argparse.Namespace, model: PreTrainedModel, renderer: Renderer, work: list[Prompt]) -> list[int]:
    """`generate`, on left-padded batches, with every truncation off; token counts of the responses."""
    stops = torch.tensor(sorted(renderer.stop_ids))
    rendered = sorted((renderer.prompt_ids(prompt.text) for prompt in work), key=len, reverse=True)
    counts: list[int] = []
    for cut in range(0, len(rendered), options.batch):
        batch = rendered[cut : cut + options.batch]
        width = max(map(len, batch))
        ids = torch.tensor([[PAD] * (width - len(prompt)) + prompt for prompt in batch])
        mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in batch])
        output = model.generate(
            ids,
            attention_mask=mask,
            do_sample=True,
            temperature=options.temperature,
            top_k=0,
            top_p=1.0,
            num_return_sequences=options.k,
            max_new_tokens=options.new_tokens,
            eos_token_id=stops.tolist(),
            pad_token_id=PAD,
        )
        new = output[:, width:]
        renderer.tokenizer.batch_decode(new, skip_special_tokens=True)
        ended = torch.isin(new, stops)
        counts += torch.where(ended.any(1), ended.int().argmax(1) + 1, new.shape[1]).tolist()
    return counts


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__)
    parser.add_argument("--prompts", type=int, default=4)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 4], help="prompts of a batch: K times as many rows")
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--new-tokens", type=int, default=96, help="responses are cut here")
    parser.add_argument("--mean", type=float, default=48, help="mean length of a response, were it not cut")
    parser.add_argument("--temperature", type=float, default=0.9)
    parser.add_argument("--prompt-tokens", type=int, default=512, help="longer prompts are left out")
    options = parser.parse_args()
    start(options)
    model = random_llama(seed=options.seed)
    renderer = Renderer(tokenizer(options.data))
    renderer.stop_ids = stop_ids(options, model.config.vocab_size)
    policy, work = LoadedModel(model, renderer, "benchmark"), prompts(options)
    rows = []
    for batch in options.batch:
        settings = argparse.Namespace(**{**vars(options), "batch": batch})
        counts: dict[str, list[list[int]]] = {"ours": [], "generate": []}
        ways = {
            "ours": lambda s=settings, c=counts: c["ours"].append(ours(s, policy, work)),
            "generate": lambda s=settings, c=counts: c["generate"].append(theirs(s, model, renderer, work)),
        }
        timings = take_turns(ways, options.repeats)
        rates = {
            name: [sum(turn) / seconds for turn, seconds in zip(turns[1:], timings[name].seconds, strict=True)]
            for name, turns in counts.items()
        }
        for name, turns in counts.items():
            lengths = np.concatenate(turns[1:])
            over = [ours_ / other for ours_, other in zip(rates["ours"], rates[name], strict=True)]
            rows.append(
                {
                    "rows a batch": batch * options.k,
                    "way": name,
                    "tokens a second": float(np.median(rates[name])),
                    "ours over it": float(np.median(over)),
                    "seconds": timings[name].median,
                    "tokens": float(np.mean([sum(turn) for turn in turns[1:]])),
                    "length: mean": float(lengths.mean()),
                    "length: 10 % to 90 %": "{:.0f} to {:.0f}".format(*np.percentile(lengths, [10, 90])),
                }
            )
    report(
        "generation",
        rows,
        prompts=options.prompts,
        k=options.k,
        parameters=f"{parameters(model) / 1e6:.0f} M",
        prompt_tokens=f"{np.mean([len(renderer.prompt_ids(prompt.text)) for prompt in work]):.0f} on average",
        vllm="measured in the issue of vLLM, where it runs",
    )


if __name__ == "__main__":
    main()
