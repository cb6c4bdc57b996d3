"""The model card: what the model was made of, with which settings, and what came out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

import icr
from icr.export.folder import FinishedRun, is_local
from icr.models.gguf import gguf_file
from icr.report.tables import Grid, display_name, grids

SETTINGS = {
    "reward": ("beta", "token_clip", "keep_truncated"),
    "reward_prompt": ("template",),
    "length_control": ("unit", "upper_bound"),
    "pairing": ("minimum_margin", "drop_duplicates"),
    "loss": ("beta", "alpha", "nll_reduction", "label_smoothing", "desirable_weight", "undesirable_weight"),
    "sampling": ("n", "temperature", "top_p", "top_k", "max_new_tokens"),
    "optim": ("lr", "schedule", "warmup_ratio"),
    "trainer": ("global_batch_size", "epochs", "max_steps", "gradient_clip", "precision"),
    "adapter": ("r", "alpha", "target_modules", "quantisation"),
    "data": ("prompts_per_language",),
}
"""What a card tells of each group. Named one by one: addresses and folders of the run are nobody else's business."""

STAGES = {
    "icr": "trained by Implicit Cross-Lingual Rewarding ([arXiv 2503.04647](https://arxiv.org/abs/2503.04647)): its "
    "preferences come from the log-probabilities of an English-aligned model and of the model it was aligned from",
    "english_dpo": "trained on preference pairs in English",
    "sft": "trained on demonstrations",
}
STAGE_CLASSES = {"EnglishDPO": "english_dpo", "SFT": "sft"}
"""Which of these a configuration names; a run that is not finished has no summary that does."""

LOADING = """```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("{name}", dtype="auto", device_map="auto")
tokenizer = AutoTokenizer.from_pretrained("{name}")
messages = [{{"role": "user", "content": "…"}}]
inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt").to(model.device)
print(tokenizer.decode(model.generate(**inputs)[0], skip_special_tokens=True))
```"""


def model_card(run: FinishedRun, name: str, *, merged: bool = True, datasets: Sequence[str] = ()) -> str:
    """`README.md` of a model folder: front matter for hubs, then Markdown. No text of a model is in it.

    Args:
        name: what others load it by: `owner/name`, or a folder's name.
        merged: whether the folder holds a whole model; else an adapter.
        datasets: hub names of the prompts' or preferences' data sets, where there are any.
    """
    front = yaml.safe_dump(_front_matter(run, merged, datasets), sort_keys=False, allow_unicode=True)
    return f"---\n{front}---\n\n" + "\n\n".join(_sections(run, name, merged)) + "\n"


def _front_matter(run: FinishedRun, merged: bool, datasets: Sequence[str]) -> dict[str, Any]:
    start = run.config.get("model", {}).get("path", "") if merged else run.base or ""
    loss = _class(run.config.get("loss", {})).lower()
    front = {
        "language": run.summary.languages,
        "library_name": "transformers" if merged else "peft",
        "pipeline_tag": "text-generation",
        "tags": ["icr", *([loss] if loss else [])],
    }
    if start and not is_local(start):
        file = gguf_file(start)
        front |= {
            "base_model": file.source if file else start,
            "base_model_relation": "finetune" if merged else "adapter",
        }
    return front | ({"datasets": list(datasets)} if datasets else {})


def _sections(run: FinishedRun, name: str, merged: bool) -> Iterator[str]:
    summary = run.summary
    yield f"# {_plain(Path(name).name)}"
    start = _model(run.config.get("model", {}).get("path", ""))
    made = f"Made with icr {summary.version or icr.__version__}."
    yield f"{display_name(run.name)}, the model after round {run.round}, {STAGES[_stage(run)]}. From {start}. {made}"
    needs = "An adapter: loading it needs `peft`, and gets its base model.\n\n" if run.base and not merged else ""
    yield f"## Use\n\n{needs}" + LOADING.format(name=name)
    yield "## Data and settings\n\n" + _table(Grid("", ["", ""], [list(row) for row in _settings(run)]))
    for grid in grids(summary):
        yield f"## {grid.title}\n\n{_table(grid)}\n\n{_plain(grid.note)}".rstrip()
    if summary.versions:
        yield "## Versions\n\n" + ", ".join(f"{_plain(k)} {_plain(v)}" for k, v in summary.versions.items())


def _settings(run: FinishedRun) -> Iterator[tuple[str, str]]:
    config, pair = run.config, run.config.get("reward_pair", {})
    yield "languages", _plain(", ".join(run.summary.languages))
    if _stage(run) == "icr":
        policy, reference = (
            f"{_model(pair.get(k, ''))} ({pair.get(f'{k}_round', '')})" for k in ("policy", "reference")
        )
        yield "reward pair", f"policy {policy}, reference {reference}"
    yield "rounds", _plain(f"{run.round + 1} of {config.get('iterations', '?')}, seed {config.get('seed', '?')}")
    for group, keys in SETTINGS.items():
        node = config.get(group) or {}
        values = [f"{key} {_code(node[key])}" for key in keys if node.get(key) is not None]
        if text := ", ".join(part for part in (_class(node), *values) if part):
            yield group.replace("_", " "), text


def _stage(run: FinishedRun) -> str:
    return run.summary.stage or STAGE_CLASSES.get(_class(run.config.get("stage", {})), "icr")


def _class(node: dict[str, Any]) -> str:
    """Class that a group of settings makes, in words that a reader of `conf/` knows."""
    return str(node.get("_target_", "")).rpartition(".")[2]


def _model(path: str) -> str:
    """A link to a model on a hub; of a folder its name alone."""
    if not path:
        return "an unnamed model"
    if is_local(path):
        return f"`{_plain(Path(path).name)}` (not published)"
    file = gguf_file(path)
    return f"[{_plain(path)}](https://huggingface.co/{file.source if file else path})"


def _table(grid: Grid) -> str:
    rule = "|".join(["---", *(["---:"] * (len(grid.columns) - 1) if grid.title else ["---"])])
    lines = [_row(map(_plain, grid.columns)), f"|{rule}|"]
    for index, row in enumerate(grid.rows):
        cells = [_plain(cell) if grid.title else cell for cell in row]
        bold = [f"**{cell}**" if (index, c) in grid.best and cell else cell for c, cell in enumerate(cells)]
        lines.append(_row(bold))
    return "\n".join(lines)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _plain(value: Any) -> str:
    """Text that Markdown and HTML leave as it is, on one line."""
    return re.sub(r"([\\`*\[\]<>|])", r"\\\1", " ".join(str(value).split()))


def _code(value: Any) -> str:
    """A setting's value between backticks, safe in a table."""
    if isinstance(value, dict):
        value = {key: item for key, item in value.items() if not key.startswith("_")}
    text = value if isinstance(value, str) else yaml.safe_dump(value, default_flow_style=True).removesuffix("...\n")
    return f"`{' '.join(text.split()).replace('`', chr(39)).replace('|', chr(92) + '|')}`"
