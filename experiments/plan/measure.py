"""The plan's memory against what is measured: a random Llama goes through each phase in a process of its own.

    python experiments/plan/measure.py                 # all set-ups: minutes
    python experiments/plan/measure.py --only adamw    # one of them

Peak resident memory (Linux), above that of the same process after the same phase with models of next to no size, with
glibc told to give freed blocks back at once and the pages of the weights' files that no weight lies in any more let go
of: a plan knows of no allocator's hoard, nor of a file's cache.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import hydra  # noqa: E402
import torch  # noqa: E402
from tokenizers import Tokenizer, decoders, models, pre_tokenizers  # noqa: E402
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerFast  # noqa: E402

from icr import config  # noqa: E402
from icr.doctor.plan.architecture import architecture  # noqa: E402
from icr.doctor.plan.memory import MemoryPlan  # noqa: E402
from icr.doctor.setup import setup_of  # noqa: E402
from icr.models import residency  # noqa: E402
from icr.modules.scorer import ImplicitRewardModule  # noqa: E402
from icr.rundir import Key, RunDirectory  # noqa: E402
from icr.rundir.layout import round_stages  # noqa: E402
from icr.training.regenerate_pairs import GivenPairs, RoundStart  # noqa: E402
from icr.types import PreferencePair, Prompt  # noqa: E402

SHAPE = dict(
    vocab_size=16_000,
    hidden_size=640,
    intermediate_size=1792,
    num_hidden_layers=10,
    num_attention_heads=10,
    num_key_value_heads=5,
    max_position_embeddings=2048,
)
"""67 M parameters."""
PROMPT, RESPONSE, K = 64, 96, 4
MADV_PAGEOUT = 21
"""Linux's number for it; Python's `mmap` has none."""
TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
COMMON = [
    *("data=parallel", "data.dir=unused", "langs=english", "trainer.accelerator=cpu", "trainer.progress_bar=false"),
    *(f"sampling.n={K}", f"sampling.max_new_tokens={RESPONSE}", "sampling.tokens_per_batch=4096"),
    *("scoring.tokens_per_batch=2048", "trainer.global_batch_size=4", "trainer.max_steps=2", "trainer.threads=1"),
]
ENVIRONMENT = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1"}
CASES = {
    "adamw": [],
    "accumulation": ["trainer.micro_batch_size=1"],
    "mixed": ["trainer.precision=bf16-mixed"],
    "checkpointing": ["trainer.gradient_checkpointing=true"],
    "kto": ["loss=kto"],
    "adamw8bit": ["optim=adamw8bit"],
    "lora": ["adapter=lora"],
    "qlora": ["adapter=qlora"],
}
"""Overrides of each set-up, on top of whole batches of four pairs."""


TINY = SHAPE | dict(
    hidden_size=64, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1
)


def model_folder(path: Path, seed: int, shape: dict = SHAPE) -> str:
    """A random Llama whose tokenizer knows bytes; its further rows are never asked for as text."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({token: id for id, token in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|user|>", "<|assistant|>"]
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|pad|>", additional_special_tokens=special
    )
    fast.chat_template = TEMPLATE
    torch.manual_seed(seed)
    LlamaForCausalLM(LlamaConfig(**shape, eos_token_id=fast.eos_token_id, bos_token_id=None)).save_pretrained(path)
    fast.save_pretrained(path)
    return str(path)


def settings_of(folder: Path, overrides: Sequence[str]) -> config.Settings:
    """The checked settings of a case."""
    pair = [f"model.path={folder / 'policy'}", f"reward_pair.reference={folder / 'reference'}"]
    micro = [] if any("micro_batch_size" in text for text in overrides) else ["trainer.micro_batch_size=4"]
    with hydra.initialize_config_dir(str(config.conf_dir()), version_base="1.3"):
        return config.build(hydra.compose("config", [*COMMON, *pair, *micro, *overrides]))


def planned(settings: config.Settings) -> dict[str, float]:
    """Bytes per phase, by the plan."""
    paths = settings.model.path, settings.reward_pair.reference
    pair = [architecture(path, None, settings.model.loader) for path in paths]
    memory = MemoryPlan(settings, setup_of(settings, "cpu"), *pair, PROMPT, PROMPT, RESPONSE)
    phases = {name: phase.total for name, phase in memory.phases().items()}
    # One process measures the training with the reference log-probs that it begins with.
    return {
        "sampling": phases["sampling"],
        "scoring": phases["scoring"],
        "training": max(phases["training"], phases["reference"]),
    }


def sampling(settings: config.Settings, folder: Path) -> Callable[[], object]:
    """Two batches of prompts, responses to the limit."""
    policy = _start(settings)
    text = "x" * (PROMPT - len(policy.renderer.prompt_ids("")))
    prompts = [Prompt(str(i), "en", text, text) for i in range(8)]
    return lambda: settings.sampling.sample(policy, prompts, (0,))


def scoring(settings: config.Settings, folder: Path) -> Callable[[], object]:
    """K responses to each of eight prompts, with the policy beside the reward pair."""
    policy = _start(settings)
    paths = settings.model.path, settings.reward_pair.reference
    models = residency.reward_pair(settings.model.loader, paths, policy, "cpu", one_at_a_time=False)
    for model in models:
        if isinstance(model, PreTrainedModel):
            _touch(model)
    scorer = ImplicitRewardModule(*models, tokens_per_batch=settings.scoring.tokens_per_batch)
    sequences = [([i] * PROMPT, [k] * RESPONSE) for i in range(8) for k in range(K)]
    return lambda: (policy, scorer.predict_step(sequences))


def training(settings: config.Settings, folder: Path) -> Callable[[], object]:
    """Two optimiser steps through Lightning, reference log-probs first."""
    policy = _start(settings)
    generator = torch.Generator().manual_seed(0)
    draw = lambda size: torch.randint(256, (size,), generator=generator).tolist()  # noqa: E731
    pairs = [
        PreferencePair(
            str(i), "en", "", "", "", draw(PROMPT), draw(RESPONSE), draw(RESPONSE), partner=f"en/{i ^ 1}/-1/-1"
        )
        for i in range(8)
    ]
    stages = round_stages(0)
    keys = {stage: Key({}, {}) for stage in (stages.skipped, stages.pairs, stages.model)}
    store = RunDirectory(Path(tempfile.mkdtemp(dir=folder)), keys)
    loader, arithmetic = settings.model.loader, settings.arithmetic
    start = lambda loaded: RoundStart(store, 0, loaded, None, loader, arithmetic, (0,))  # noqa: E731
    made = lambda loaded: GivenPairs(start(loaded), make=lambda renderer: pairs, context=None)  # noqa: E731
    return lambda: settings.training.run(store, 0, lambda: policy, made, [])


def _start(settings: config.Settings):
    policy = settings.model.loader.load_for_training(settings.model.path, 0)
    _page_out()
    _touch(policy.model)
    return policy


def _page_out() -> None:
    """Let go of what was read of the weights' files, as the kernel does when memory is short: quantising reads it all.

    Only clean pages go, and those that a weight still lies in are read again.
    """
    madvise = ctypes.CDLL(None, use_errno=True).madvise
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    for line in Path("/proc/self/maps").read_text().splitlines():
        if line.endswith(".safetensors"):
            start, end = (int(address, 16) for address in line.split()[0].split("-"))
            if madvise(start, end - start, MADV_PAGEOUT):
                raise OSError(ctypes.get_errno(), "madvise", line)


def _touch(model: PreTrainedModel) -> None:
    """Weights are mapped from their file, and come into memory when they are first read."""
    for parameter in model.parameters():
        parameter.sum()


PHASES = {"sampling": sampling, "scoring": scoring, "training": training}


def measured(phase: str, case: str, folder: Path) -> int:
    """Peak bytes of a phase in this process, above what it has after the phase with models of next to no size."""
    PHASES[phase](settings_of(folder / "tiny", CASES[case]), folder)()
    gc.collect()
    before = _status("VmRSS")
    work = PHASES[phase](settings_of(folder, CASES[case]), folder)
    Path("/proc/self/clear_refs").write_text("5")  # Forget the peak of loading.
    work()
    return _status("VmHWM") - before


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def main() -> None:
    """Make the models, measure each phase in a child, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=CASES, default=list(CASES), help="set-ups to measure")
    parser.add_argument("--json", type=Path, help="file for the results")
    parser.add_argument("--phase", choices=PHASES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.phase:
        print(measured(options.phase, options.only[0], options.folder))
        return
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for seed, role in enumerate(("policy", "reference")):
            model_folder(folder / role, seed)
            model_folder(folder / "tiny" / role, seed, TINY)
        print("| set-up | phase | planned MiB | measured MiB | planned / measured |\n|---|---|---|---|---|")
        for case in options.only:
            for phase, expected in planned(settings_of(folder, CASES[case])).items():
                command = [sys.executable, __file__, "--only", case, "--phase", phase, "--folder", str(folder)]
                output = subprocess.run(command, check=True, capture_output=True, text=True, env=ENVIRONMENT).stdout
                seen = int(output.splitlines()[-1])
                results.append({"case": case, "phase": phase, "planned": round(expected), "measured": seen})
                row = f"{expected / 2**20:.0f} | {seen / 2**20:.0f} | {expected / seen:.2f}"
                print(f"| {case} | {phase} | {row} |", flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
