"""Runs the doctor in this process, on the embedded world or on tiny models of our own."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from icr.doctor import __main__ as doctor
from icr.pocket.assets import folder


@dataclass
class Examined:
    """What the doctor printed and wrote."""

    status: int
    output: str
    errors: str
    results: dict

    def finding(self, name: str) -> dict:
        """The finding of one check."""
        return next(finding for finding in self.results["findings"] if finding["name"] == name)

    def failures(self) -> list[str]:
        """Names of the checks that failed."""
        return [finding["name"] for finding in self.results["findings"] if finding["level"] == "fail"]


@pytest.fixture
def examine(tmp_path, monkeypatch, capfd) -> Callable[..., Examined]:
    """`examine("check", "loss=kto", …)` in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setattr(doctor, "quiet", lambda: None)  # Its log handler would outlive the test's streams.

    def call(*arguments: str) -> Examined:
        written = tmp_path / "doctor.json"
        written.unlink(missing_ok=True)
        words = [word for word in arguments if "=" not in word]
        overrides = [word for word in arguments if "=" in word]
        try:
            status = doctor.main([*words, "doctor.samples=4", f"doctor.json={written}", *overrides])
        except SystemExit as end:
            status = end.code
        output, errors = capfd.readouterr()
        results = json.loads(written.read_text(encoding="utf-8")) if written.exists() else {}
        assert "Traceback" not in errors
        return Examined(status, re.sub(r"\s+", " ", output), errors, results)

    return call


@pytest.fixture
def pair(tmp_path) -> Callable[..., list[str]]:
    """`pair(policy=change, reference=change)`: overrides that choose copies of the embedded world's pair.

    A change takes the model and the tokenizer of its copy and changes them in place.
    """
    Change = Callable[[PreTrainedModel, PreTrainedTokenizerBase], None]

    def copy(source: str, name: str, change: Change | None) -> str:
        target = tmp_path / "models" / name
        shutil.copytree(folder(source), target)
        if change:
            model = AutoModelForCausalLM.from_pretrained(target, dtype=torch.float32)
            tokenizer = AutoTokenizer.from_pretrained(target)
            change(model, tokenizer)
            shutil.rmtree(target)
            model.save_pretrained(target)
            tokenizer.save_pretrained(target)
        return str(target)

    def make(policy: Change | None = None, reference: Change | None = None) -> list[str]:
        return [
            f"model.path={copy('dpo_en', 'policy', policy)}",
            f"model.reference={copy('sft', 'reference', reference)}",
        ]

    return make


@pytest.fixture
def prompt_files(tmp_path) -> Callable[..., list[str]]:
    """`prompt_files(en={"1": "text"}, de=…)`: overrides that choose a folder of parallel prompts."""

    def write(**texts: dict[str, str]) -> list[str]:
        target: Path = tmp_path / "prompts"
        target.mkdir()
        for language, by_id in texts.items():
            rows = [{"instruction_id": id, "instruction": text} for id, text in by_id.items()]
            lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            (target / f"{language}.jsonl").write_text(lines, encoding="utf-8")
        codes = ",".join(texts)
        pocket = ["model=pocket", "sampling=pocket", "optim=pocket", "trainer=pocket"]
        return ["data=parallel", f"data.dir={target}", f"langs.codes=[{codes}]", *pocket]

    return write
