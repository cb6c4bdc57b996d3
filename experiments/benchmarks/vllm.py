"""Sampling K = 10 responses a prompt: vLLM in a process of its own against in process with transformers, both ours.

The same prompts, settings and numbers of threads; responses end at random, as in `generate.py`, whose work this is.
What is compared is generated tokens a second, since each way draws its own numbers. vLLM's start (its process, the
weights, the comparison of log-probs) comes once a stage and is given by itself. On a CPU this is no guide to a GPU.

    python experiments/benchmarks/vllm.py --python <environment with vLLM>/bin/python
"""

from __future__ import annotations

import os
import tempfile
import time
from argparse import Namespace

import numpy as np
from common import alternate, arguments, parameters, random_llama, report, start, tokenizer
from generate import prompts, stop_ids

from icr.models.loading import LoadedModel
from icr.models.rendering import Renderer
from icr.sampling.decoding import Decoding
from icr.sampling.transformers_sampler import TransformersSampler
from icr.sampling.vllm_sampler import VLLMSampler


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__)
    parser.add_argument("--python", default=os.environ.get("ICR_VLLM_PYTHON"), help="interpreter with vLLM")
    parser.add_argument("--prompts", type=int, nargs="+", default=[4, 16])
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--new-tokens", type=int, default=96, help="responses are cut here")
    parser.add_argument("--mean", type=float, default=48, help="mean length of a response, were it not cut")
    parser.add_argument("--temperature", type=float, default=0.9)
    parser.add_argument("--prompt-tokens", type=int, default=512, help="longer prompts are left out")
    options = parser.parse_args()
    start(options)
    decoding = {"n": options.k, "temperature": options.temperature, "max_new_tokens": options.new_tokens}
    with tempfile.TemporaryDirectory() as folder:
        model, renderer = random_llama(seed=options.seed), Renderer(tokenizer(options.data))
        renderer.stop_ids = stop_ids(options, model.config.vocab_size)
        policy = LoadedModel(model, renderer, folder)
        policy.save(folder)
        process = VLLMSampler(
            python=options.python,
            env={"OMP_NUM_THREADS": options.threads},
            engine={"max_model_len": options.prompt_tokens + options.new_tokens},
            **decoding,
        )
        try:
            rows = measure(options, policy, {"transformers": TransformersSampler(**decoding), "vLLM": process})
        finally:
            process.release()
    report("vLLM", rows, k=options.k, parameters=f"{parameters(model) / 1e6:.0f} M")


def measure(options: Namespace, policy: LoadedModel, samplers: dict[str, Decoding]) -> list[dict[str, object]]:
    """A row for each way and number of prompts."""
    rows = []
    for count in options.prompts:
        work = prompts(Namespace(**{**vars(options), "prompts": count}))
        began = time.perf_counter()
        samplers["vLLM"].sample(policy, work[:1], ("start",))
        starting = time.perf_counter() - began
        tokens: dict[str, list[int]] = {name: [] for name in samplers}

        def turn(name: str, work=work, tokens=tokens) -> None:
            answers = samplers[name].sample(policy, work, ("benchmark",))
            tokens[name].append(sum(len(answer.response_ids) for answer in answers))

        timings = alternate({name: lambda name=name, turn=turn: turn(name) for name in samplers}, options.repeats)
        rates = {name: np.array(tokens[name][1:]) / np.array(timings[name].seconds) for name in samplers}
        rows += [
            {
                "prompts": count,
                "way": name,
                "tokens a second": float(np.median(rates[name])),
                "over transformers": float(np.median(rates[name] / rates["transformers"])),
                "seconds": timings[name].median,
                "tokens": float(np.mean(tokens[name][1:])),
                "start, s": starting if name == "vLLM" and count == options.prompts[0] else None,
            }
            for name in samplers
        ]
    return rows


if __name__ == "__main__":
    main()
