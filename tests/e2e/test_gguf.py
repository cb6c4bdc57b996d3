"""A run from GGUF files, policy and reference, to a model that plain transformers opens."""

from __future__ import annotations

import json

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from icr.export.__main__ import main as export
from icr.models import Loader
from icr.models.template import SUFFIX
from tests.e2e.conftest import Program

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing", "ignore:Could not find a config file")

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ '<user>' if m.role == 'user' else '<assistant>' }}{{ m.content }}"
    "{% if m.role == 'assistant' %}{{ '<end>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}"
)
SMALL = {"hidden_size": 32, "intermediate_size": 64}
IDS = torch.tensor([[1, 4, 70, 71, 72, 5, 80, 81, 82, 2]])


@pytest.fixture
def given(gguf_model, tmp_path) -> list[str]:
    """Overrides: prompts in two languages, and a pair of GGUF files with a template in a file."""
    policy, reference = (gguf_model("llama", kind, seed, **SMALL) for kind, seed in (("Q8_0", 0), ("F16", 1)))
    (tmp_path / "prompts").mkdir()
    for language in ("en", "sw"):
        rows = [{"instruction_id": str(n), "instruction": f"{language} {n}?"} for n in range(6)]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / "prompts" / f"{language}.jsonl").write_text(text, encoding="utf-8")
    (tmp_path / f"turns{SUFFIX}").write_text(TEMPLATE, encoding="utf-8")
    return [
        *("data=parallel", f"data.dir={tmp_path}/prompts", "langs=[en,sw]", "judge=none", "evaluation=none"),
        *("sampling=pocket", "optim=pocket", "trainer=pocket", "iterations=1", "trainer.max_steps=2"),
        *("sampling.n=3", "sampling.max_new_tokens=6", "reward.keep_truncated=true", "length_control=off"),
        f"model.path={policy.parent}",
        f"model.gguf_file={policy.name}",
        f"model.reference={reference}",
        f"model.loader.chat_template={tmp_path}/turns{SUFFIX}",
    ]


def logits(model) -> torch.Tensor:
    with torch.no_grad():
        return model(IDS).logits


def test_a_run_ends_with_an_ordinary_folder(program: Program, given, tmp_path):
    finished = program.ok(tmp_path / "run", given)
    assert "%|" not in finished.output  # A bar of transformers', which it has no switch for.
    model = AutoModelForCausalLM.from_pretrained(finished.directory / "round_0/model")
    assert AutoTokenizer.from_pretrained(finished.directory / "round_0/model").chat_template == TEMPLATE
    assert "quantization_config" not in model.config.to_dict()
    file = next(word for word in given if word.startswith("model.path=")).partition("=")[2]
    assert not torch.equal(logits(model), logits(Loader().load(f"{file}/llama-Q8_0.gguf").model))
    again = program.ok(tmp_path / "run", given)
    assert again.stages() == finished.stages()


def test_an_adapter_is_merged_into_the_file_that_it_lies_on(program: Program, given, tmp_path, capsys):
    lora = ["adapter=lora", "adapter.r=2", "optim.lr=0.01"]
    finished = program.ok(tmp_path / "run", [*given, *lora])
    folder = finished.directory / "round_0/model"
    base = json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"]
    assert base.endswith("/llama-Q8_0.gguf")
    assert export([str(finished.directory), "--to", str(tmp_path / "adapter")]) == 2
    assert "--merge makes a whole model of both" in capsys.readouterr().err
    assert export([str(finished.directory), "--to", str(tmp_path / "whole"), "--merge"]) == 0
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "whole")
    expected = PeftModel.from_pretrained(Loader().load(base).model, folder).eval()
    torch.testing.assert_close(logits(plain), logits(expected), atol=1e-4, rtol=0)
    assert not torch.equal(logits(plain), logits(Loader().load(base).model))
