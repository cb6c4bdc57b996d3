"""The model card: valid front matter, the run's settings and figures, and nothing that should not leave the machine."""

from __future__ import annotations

import pytest
import yaml
from huggingface_hub import ModelCard

from icr.export import finished_run, model_card
from tests.export.conftest import BASE
from tests.report.fake_run import ATTACK, LANGUAGES

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing", "ignore:Could not find a config file")
"""Raised within peft, where the tests use it themselves."""


@pytest.fixture
def card(finished):
    """`card(*overrides, **options)`: the text for the last round of a run of the paper's settings."""
    return lambda *overrides, name="me/icr-llama", **options: model_card(
        finished_run(finished(*overrides)), name, **options
    )


def front(text: str) -> dict:
    return yaml.safe_load(text.split("---\n")[1])


def test_the_front_matter_is_what_hubs_read(card):
    text = card(datasets=["ZNLP/prompts"])
    assert front(text) == {
        "language": LANGUAGES,
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["icr", "dpo"],
        "base_model": BASE,
        "base_model_relation": "finetune",
        "datasets": ["ZNLP/prompts"],
    }
    assert ModelCard(text).data.to_dict()["base_model"] == BASE


def test_loss_and_adapter_show(finished, adapter):
    _, folder = adapter()
    run = finished_run(finished("loss=kto", round_1=folder))
    text = model_card(run, "out", merged=False)
    assert "needs `peft`" in text
    settings = front(text)
    assert (settings["tags"], settings["library_name"]) == (["icr", "kto"], "peft")
    assert "base_model" not in settings  # a folder of this machine
    merged = front(model_card(run, "out"))
    assert (merged["library_name"], merged["base_model"]) == ("transformers", BASE)


def test_settings_and_figures_of_the_run(card):
    text = card()
    for line in (
        "# icr-llama",
        "M1, the model after round 1, trained by Implicit Cross-Lingual Rewarding",
        'from_pretrained("me/icr-llama", dtype="auto"',
        f"[{BASE}](https://huggingface.co/{BASE})",
        "| rounds | 2 of 2, seed 0 |",
        "| loss | DPO, beta `0.1`, alpha `1.0`, nll_reduction `sequence`, label_smoothing `0.0` |",
        "| sampling | TransformersSampler, n `10`, temperature `0.9`, top_p `1.0`, max_new_tokens `2400` |",
        "| optim | lr `5.0e-07`, schedule `constant`, warmup_ratio `0.0` |",
        "| data | ParallelPrompts, prompts_per_language `3000` |",
        "## Win rate, %",
        "| round 1 · total | 3,200 | 320 |",
        "all rewards equal",
        "Left out before sampling: 1 (en 1 longer than the context).",
        "python 3.11.9",
    ):
        assert line in text, line


def test_an_adapters_settings_show(card):
    expected = (
        "r `16`, alpha `32`, target_modules `all-linear`, quantisation `{double: true, everything: false, type: nf4}`"
    )
    assert f"| adapter | Lora, {expected} |" in card("adapter=qlora")


def test_tables_are_whole(card):
    for block in card().split("\n\n"):
        rows = [line for line in block.splitlines() if line.startswith("|")]
        assert len({row.replace("\\|", "").count("|") for row in rows}) <= 1, rows[0]


def test_no_folder_address_or_text_of_the_run_is_in_it(card):
    text = card("logger=wandb", "logger.project=hush", "run.dir=/home/me/runs/hush")
    for hidden in ("/home/me", "secret-prompts", "hush", ATTACK, "onerror", "<script"):
        assert hidden not in text, hidden


def test_a_local_model_is_named_by_its_folder_alone(card):
    text = card("model.path=/home/me/models/aligned", "model.reference=/home/me/models/sft")
    assert "policy `aligned` (not published)" in text
    assert "/home/me" not in text
    assert "base_model" not in front(text)


def test_markup_in_settings_stays_text(card):
    text = card("reward_prompt.template='<img onerror=x>`|{instruction}'", name="a|b<i>")
    assert "`<img onerror=x>'\\|{instruction}`" in text
    assert "# a\\|b\\<i\\>" in text
