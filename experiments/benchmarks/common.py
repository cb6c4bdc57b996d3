"""What the benchmarks share: the work (prompts, responses, models), the measuring, and the printing.

Every figure is measured on one thread unless `--threads` says otherwise, functions taking turns, in one run.
"""

from __future__ import annotations

import argparse
import datetime
import gc
import hashlib
import json
import multiprocessing
import os
import platform
import re
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers  # noqa: E402
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast  # noqa: E402

SPECIAL = ("<|end|>", "<|user|>", "<|assistant|>", "<|pad|>")
"""Ids 0 to 3 of the benchmarks' tokenizer."""
END_ID = 0

CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def arguments(description: str) -> argparse.ArgumentParser:
    """The options that every benchmark has; `start` applies them."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = os.environ.get("ICR_SHARED_DATA") or ROOT.parent / "shared" / "data"
    parser.add_argument(
        "--data", type=Path, default=default, help="folder with ultrafeedback_parallel and x_alpacaeval"
    )
    parser.add_argument("--threads", type=int, default=1, help="torch threads")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each way; the table has their medians")
    parser.add_argument("--seed", type=int, default=0)
    return parser


def start(options: argparse.Namespace) -> None:
    """Set threads and seed."""
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)


# The work: real prompts, responses of real lengths, a random model.


def english_prompts(data: Path) -> list[str]:
    """The English prompts of UltraFeedback, in the file's order."""
    lines = (data / "ultrafeedback_parallel" / "en.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["instruction"] for line in lines if line.strip()]


@lru_cache(maxsize=4)
def tokenizer(data: Path, vocabulary: int = 32_000) -> PreTrainedTokenizerFast:
    """A byte-pair tokenizer trained on the prompts of all languages; cached in the folder for temporary files."""
    files = sorted((data / "ultrafeedback_parallel").glob("*.jsonl"))
    key = hashlib.sha256("\n".join(f"{file.name} {file.stat().st_size}" for file in files).encode()).hexdigest()[:12]
    path = Path(tempfile.gettempdir()) / "icr_benchmarks" / f"bpe_{vocabulary}_{key}.json"
    if not path.exists():
        trained = Tokenizer(models.BPE())
        trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        trained.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocabulary,
            special_tokens=list(SPECIAL),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        lines = (line for file in files for line in file.read_text(encoding="utf-8").splitlines() if line.strip())
        trained.train_from_iterator((json.loads(line)["instruction"] for line in lines), trainer)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}")
        trained.save(str(partial))
        partial.replace(path)
    fast = PreTrainedTokenizerFast(tokenizer_file=str(path), eos_token="<|end|>", pad_token="<|pad|>")
    fast.chat_template = CHAT_TEMPLATE
    return fast


def prompt_ids(data: Path, count: int, *, seed: int = 0, vocabulary: int = 32_000) -> list[list[int]]:
    """Token ids of `count` English prompts, drawn without replacement, each a user turn and the start of a reply."""
    prompts, fast = english_prompts(data), tokenizer(data, vocabulary)
    chosen = np.random.default_rng(seed).permutation(len(prompts))[:count]
    user, end, assistant = (fast.convert_tokens_to_ids(token) for token in ("<|user|>", "<|end|>", "<|assistant|>"))
    texts = [prompts[index] for index in chosen]
    return [[user, *ids, end, assistant] for ids in fast(texts, add_special_tokens=False)["input_ids"]]


@lru_cache(maxsize=4)
def response_lengths(data: Path, limit: int = 256, vocabulary: int = 32_000) -> tuple[int, ...]:
    """Tokens of the English X-AlpacaEval outputs, their end token included, cut at `limit`."""
    files = sorted((data / "x_alpacaeval" / "outputs").glob("*.en.json"))
    texts = [row["output"] for file in files for row in json.loads(file.read_text(encoding="utf-8"))]
    encoded = tokenizer(data, vocabulary)(texts, add_special_tokens=False)["input_ids"]
    return tuple(min(limit, len(ids) + 1) for ids in encoded)


def random_responses(lengths: Sequence[int], vocabulary: int, seed: int = 0) -> list[list[int]]:
    """Random ids that end in the end token: what costs is their shape."""
    draw = np.random.default_rng(seed)
    return [[*draw.integers(len(SPECIAL), vocabulary, length - 1).tolist(), END_ID] for length in lengths]


def workload(
    data: Path, prompts: int, k: int = 10, *, limit: int = 256, seed: int = 0, vocabulary: int = 32_000
) -> list[tuple[list[int], list[list[int]]]]:
    """`(prompt ids, K response ids)` of real shapes.

    Args:
        vocabulary: the tokenizer is trained to it, and the ids of the responses are below it.
    """
    lengths = np.random.default_rng(seed + 1).choice(response_lengths(data, limit, vocabulary), (prompts, k))
    ids = prompt_ids(data, prompts, seed=seed, vocabulary=vocabulary)
    responses = random_responses(lengths.flatten().tolist(), vocabulary, seed)
    return [(prompt, responses[k * place : k * (place + 1)]) for place, prompt in enumerate(ids)]


def random_llama(
    vocabulary: int = 32_000,
    *,
    hidden: int = 512,
    layers: int = 8,
    heads: int = 8,
    key_value_heads: int = 4,
    intermediate: int = 1536,
    seed: int = 0,
    attention: str = "sdpa",
) -> LlamaForCausalLM:
    """A Llama with random weights in float32, in evaluation mode: 58 M parameters with a vocabulary of 32k.

    The weights are wider than an initialisation's, so that attention is not uniform and a wrong mask shows.
    """
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=key_value_heads,
        intermediate_size=intermediate,
        max_position_embeddings=8192,
        initializer_range=0.06,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=END_ID,
        pad_token_id=SPECIAL.index("<|pad|>"),
        attn_implementation=attention,
    )
    return LlamaForCausalLM(config).eval()


def parameters(model: torch.nn.Module) -> int:
    """Parameters, shared ones once."""
    return sum(parameter.numel() for parameter in model.parameters())


# Measuring.


@dataclass(frozen=True)
class Timing:
    """Seconds of each turn of one way."""

    seconds: tuple[float, ...]
    ratio: float
    """Median over the turns of this way's seconds over the first way's seconds of the same turn."""

    @property
    def median(self) -> float:
        """Median seconds."""
        return statistics.median(self.seconds)


def alternate(
    functions: Mapping[str, Callable[[], object]], repeats: int = 5, warm_up: bool = True
) -> dict[str, Timing]:
    """Time each function in turn, `repeats` times over: a slow spell of the machine falls on all of them.

    Args:
        functions: by name; the first is what the ratios are over.
        warm_up: run each once before.
    """
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(-int(warm_up), repeats):
        for name, function in functions.items():
            gc.collect()
            begin = time.perf_counter()
            function()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if turn >= 0:
                seconds[name].append(time.perf_counter() - begin)
    first = next(iter(seconds.values()))
    return {
        name: Timing(tuple(values), statistics.median(a / b for a, b in zip(values, first, strict=True)))
        for name, values in seconds.items()
    }


def peak_memory(setup: Callable[..., Callable[[], object]], *args) -> float:
    """MiB that a callable needs at its peak, above what its process holds before it runs.

    Args:
        setup: run in a fresh process as `setup(*args)`; loads the models and returns the callable that is measured. It
            must be importable (a function at the top of a module or script), and so must its arguments.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measure_peak, args=(sender, torch.get_num_threads(), setup, args))
    process.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError as error:
        raise RuntimeError(f"the process that measures {setup.__name__} ended early") from error
    finally:
        process.join()


def _measure_peak(sender, threads: int, setup: Callable[..., Callable[[], object]], args: tuple) -> None:
    torch.set_num_threads(threads)
    function = setup(*args)
    gc.collect()
    before = _reset_high_water()
    function()
    sender.send((_high_water() - before) / 2**20)


def _reset_high_water() -> int:
    """Bytes resident now; on Linux the high-water mark falls to them."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return _high_water()
    return _high_water()


def _high_water() -> int:
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text()).group(1)) * 1024
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


def matmul_rate(rows: int = 1024, inner: int = 512, columns: int = 1536, seconds: float = 1.0) -> float:
    """float32 FLOP/s of a matrix product of the shape that the models' layers have; the best of a second's worth."""
    left, right = torch.randn(rows, inner), torch.randn(columns, inner)
    best, until = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < until:
        begin = time.perf_counter()
        torch.nn.functional.linear(left, right)
        best = min(best, time.perf_counter() - begin)
    return 2 * rows * inner * columns / best


# Printing.


def environment(*packages: str) -> dict[str, object]:
    """Machine, date and versions."""
    return {
        "date": datetime.date.today().isoformat(),
        "machine": f"{_processor()}, {os.cpu_count()} cores, {platform.system()}",
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "threads": torch.get_num_threads(),
        "versions": {name: _version(name) for name in ("torch", "transformers", *packages)},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", info.read_text()) if info.exists() else None
    return found.group(1).strip() if found else platform.processor() or platform.machine()


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """A Markdown table; the columns are the keys of the first row, in its order."""
    columns = list(rows[0])
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    return "\n".join(lines + ["| " + " | ".join(_cell(row.get(name)) for name in columns) + " |" for row in rows])


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.2f}"
    return str(value)


def report(name: str, rows: Sequence[Mapping[str, object]], *packages: str, **facts: object) -> None:
    """Print where and with what, the table, the facts, and as the last line all of it as JSON."""
    where = environment(*packages)
    versions = ", ".join(f"{package} {number}" for package, number in where["versions"].items())
    print(f"{name}: {where['date']}, {where['machine']}, {where['device']}, {where['threads']} thread(s), {versions}\n")
    print(table(rows), end="\n\n")
    for fact, value in facts.items():
        print(f"{fact}: {value if isinstance(value, str | list | dict) else _cell(value)}")
    print(json.dumps({"benchmark": name, **where, "rows": list(rows), **facts}, ensure_ascii=False), flush=True)
