"""The doctor on a good pair, and on each of its failures made on purpose."""

from __future__ import annotations

import shutil

import pytest
import torch
from tokenizers.processors import TemplateProcessing

from icr.doctor.checks import models as checks_models
from icr.models.loading import Loader
from icr.pocket.assets import folder
from icr.types import Response


def extra_token(model, tokenizer) -> None:
    tokenizer.add_tokens(["<new>"])


def second_begin(model, tokenizer) -> None:
    tokenizer.chat_template = "{{ bos_token }}" + tokenizer.chat_template


def no_begin(model, tokenizer) -> None:
    tokenizer.chat_template = tokenizer.chat_template.replace("{{ bos_token }}", "")
    begin = tokenizer.bos_token, tokenizer.bos_token_id
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[begin])


def no_header(model, tokenizer) -> None:
    tokenizer.chat_template = tokenizer.chat_template.partition("{% if add_generation_prompt %}")[0]


def thinking_header(model, tokenizer) -> None:
    tokenizer.chat_template = tokenizer.chat_template.replace("{{ '<assistant>' }}", "{{ '<assistant><user>' }}")


def other_template(model, tokenizer) -> None:
    tokenizer.chat_template = tokenizer.chat_template.replace("{{ message.content }}", "a {{ message.content }}")


def no_template(model, tokenizer) -> None:
    tokenizer.chat_template = None


def pad_is_end(model, tokenizer) -> None:
    tokenizer.pad_token = tokenizer.eos_token


def no_pad(model, tokenizer) -> None:
    tokenizer.pad_token = None


def never_ends(model, tokenizer) -> None:
    """What the model would end with is now the pad token."""
    places, swapped = [tokenizer.eos_token_id, tokenizer.pad_token_id], [tokenizer.pad_token_id, tokenizer.eos_token_id]
    with torch.no_grad():
        for weight in {model.lm_head.weight, model.get_input_embeddings().weight}:
            weight[places] = weight[swapped]


def broken(model, tokenizer) -> None:
    with torch.no_grad():
        model.model.norm.weight[3] = torch.nan


def test_the_embedded_worlds_pair_is_good(examine, tmp_path):
    seen = examine()
    assert seen.status == 0, seen.output
    assert {finding["level"] for finding in seen.results["findings"]} == {"pass"}
    assert f"{len(seen.results['findings'])} passed, 0 warnings, 0 failures" in seen.output
    assert [phase["phase"] for phase in seen.results["plan"]["phases"]][:4] == [
        *("sampling", "scoring", "reference", "training")
    ]
    assert {path.name for path in tmp_path.iterdir()} == {"doctor.json"}


POLICY = {
    second_begin: ("begin of sequence", "<s> comes 2 times in a prompt"),
    no_begin: ("begin of sequence", "the chat template leaves it out"),
    no_header: ("assistant header", "prompts end without one"),
    no_template: ("tokenizer", "has no chat template"),
    no_pad: ("tokenizer", "has no pad token"),
    never_ends: ("end of turn learnt", "none of 8 samples ended within 48 tokens"),
    broken: ("policy's weights", "hold NaN or infinity, such as model.norm.weight"),
    extra_token: ("vocabulary", "differ in 1 tokens, such as '<new>'"),
}


@pytest.mark.parametrize("change", POLICY, ids=lambda change: change.__name__)
def test_failures_of_the_policy(change, examine, pair):
    name, words = POLICY[change]
    seen = examine("check", *pair(policy=change))
    assert seen.status == 1
    assert name in seen.failures()
    assert words in seen.finding(name)["seen"]
    assert "✗ fail" in seen.output


WARNINGS = {
    pad_is_end: ("padding", "the pad token is the end token"),
    thinking_header: ("assistant header", "does not begin with the prompt"),
}


@pytest.mark.parametrize("change", WARNINGS, ids=lambda change: change.__name__)
def test_warnings_about_the_pair(change, examine, pair):
    name, words = WARNINGS[change]
    seen = examine("check", *pair(policy=change, reference=change))
    assert (seen.finding(name)["level"], seen.failures()) == ("warn", [])
    assert words in seen.finding(name)["seen"]
    assert seen.status == 0
    assert "1 warning, 0 failures" in seen.output


def test_templates_that_differ(examine, pair):
    seen = examine("check", *pair(reference=other_template))
    assert seen.finding("chat template")["level"] == "warn"


def test_more_tokens_than_rows(examine, pair):
    seen = examine("check", *pair(policy=extra_token, reference=extra_token))
    assert seen.failures() == ["policy's weights", "reference's weights"]
    assert "744 rows in the embedding for 745 tokens" in seen.finding("policy's weights")["seen"]


def test_a_broken_reference(examine, pair):
    assert examine("check", *pair(reference=broken)).failures() == ["reference's weights"]


def test_one_model_as_both(examine, pair):
    (policy, _) = pair()
    seen = examine("check", policy, policy.replace("model.path", "model.reference"))
    assert seen.failures() == ["rewards"]
    assert "the same model" in seen.finding("rewards")["seen"]


def test_an_end_of_turn_that_the_model_does_not_use(examine, pair):
    seen = examine("check", *pair(), "model.loader.end_of_turn='<assistant>'")
    assert seen.failures() == ["end of turn learnt"]
    assert "model.loader.end_of_turn='<end>'" in seen.finding("end of turn learnt")["advice"]
    assert seen.finding("end of turn")["level"] == "warn"


def test_scores_that_depend_on_the_batch():
    loaded = Loader().load(str(folder("dpo_en")))
    answers = [loaded.renderer.response_ids(text) for text in ("alba", "b c")]
    ids = loaded.renderer.prompt_ids("alba")
    responses = [Response("1", "en", k, ids, answer, "", "stop") for k, answer in enumerate(answers)]
    (good,) = checks_models.batches(checks_models.scored(loaded, responses), "policy")
    assert good.level == "pass"
    norm = loaded.model.model.norm
    norm.register_forward_hook(lambda module, inputs, output: output + 1e-3 * output.shape[1])
    (bad,) = checks_models.batches(checks_models.scored(loaded, responses), "policy")
    assert bad.level == "fail"


def test_prompts_that_are_not_parallel(examine, prompt_files):
    texts = prompt_files(en={"1": "a b", "2": "c d"}, de={"1": "x y"})
    seen = examine("check", *texts)
    assert seen.failures() == ["prompts"]
    assert "id '2' of en.jsonl is missing" in seen.finding("prompts")["seen"]
    assert "en: 1 × id missing in some language" in seen.finding("prompts")["advice"]
    assert examine("check", *texts, "data.on_missing=drop").finding("prompts")["level"] == "warn"


def test_prompts_that_are_not_translated(examine, prompt_files):
    texts = {"1": "a b", "2": "c d"}
    seen = examine("check", *prompt_files(en=texts, de=texts))
    assert seen.finding("translation")["level"] == "warn"
    assert "de 100%" in seen.finding("translation")["seen"]


def test_demonstrations_have_no_english_side(examine):
    seen = examine("check", "experiment=pocket_sft")
    names = [finding["name"] for finding in seen.results["findings"]]
    assert "prompts" in names
    assert not {"translation", "vocabulary"} & {*names}


def test_a_folder_that_is_not_there(examine, prompt_files):
    overrides = [*prompt_files(en={"1": "a"}), "data.dir=nowhere"]
    assert examine("check", *overrides).failures() == ["prompts"]


def test_prompts_beyond_the_context(examine, prompt_files):
    texts = {"1": "a", "2": "b c d e f g h " * 40}
    seen = examine("check", *prompt_files(en=texts))
    assert seen.finding("context")["level"] == "warn"
    assert "1 of 2 prompts do not fit a context of 256" in seen.finding("context")["seen"]
    assert examine("check", "sampling.max_new_tokens=250").failures() == ["context"]


def test_a_model_that_is_not_on_this_machine(examine):
    seen = examine("check", "model.path=nobody/nothing")
    assert seen.failures() == ["tokenizer"]
    assert "The tokenizer of nobody/nothing cannot be loaded" in seen.finding("tokenizer")["seen"]


def test_packages_devices_and_disk(examine, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**6, 10**6, 1000))
    seen = examine("model.loader.attn_implementation=flash_attention_2", "trainer.accelerator=gpu", "doctor.devices=[]")
    assert {"packages", "devices", "disk"} <= set(seen.failures())
    assert "flash_attn" in seen.finding("packages")["seen"]


@pytest.mark.parametrize(
    ("mistake", "answer"),
    [
        ("doctor.sampels=3", "Did you mean doctor.samples?"),
        ("doctor.samples=0", "doctor.samples must be a whole number of at least 1, got 0."),
        ("doctor.devices=[A200]", "doctor.devices must be one of A100"),
        ("doctor.utilisation.training=2", "doctor.utilisation must give each of prefill"),
        ("loss.beta=0", "loss.beta must be above 0, got 0."),
        ("loss=dop", "there is no such option. Did you mean dpo?"),
        ("doctor.pairs=0", "doctor.pairs must be above 0"),
    ],
)
def test_mistakes_in_the_settings(mistake, answer, examine):
    seen = examine(mistake)
    assert seen.status == 2
    assert answer in seen.errors
    assert seen.errors.startswith("icr: ")
    assert seen.errors.count("\n") == 1


def test_prompts_with_turn_tokens(examine, prompt_files):
    texts = {
        "en": {"1": "Name 3 animals.", "2": "Say <end> twice."},
        "de": {"1": "Nenne 3 Tiere.", "2": "<user>Sag es."},
    }
    seen = examine("check", *prompt_files(**texts))
    found = seen.finding("turn tokens")
    assert found["level"] == "warn"
    assert "2 prompts hold tokens of the chat template or the tokenizer: en 1, de 1" in found["seen"]
