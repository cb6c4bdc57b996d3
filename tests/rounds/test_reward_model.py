"""Rewards of an explicit reward model: transformers' own forward, one conversation at a time, says what they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification, LlamaConfig, LlamaForSequenceClassification

from icr.data.context import TURN_TOKENS
from icr.data.reward_prompts import CrosslingualPrompt
from icr.errors import ModelError
from icr.models.classifier import check_classifier, classify, load_classifier
from icr.models.loading import LoadedModel, Loader
from icr.rounds.annotate import TRUNCATED
from icr.rounds.reward_model import TOO_LONG, ModelReward
from tests.e2e import tiny
from tests.rounds.rows import prompt, response

CROSSLINGUAL = CrosslingualPrompt("In {language}: {instruction}", {"sw": "Swahili", "en": "English"})
PROMPTS = {("p", "sw"): prompt(), ("p", "en"): prompt(language="en", text="Name a colour.")}
TEXT = "In Swahili: Name a colour."


def reward_model(path: Path, *, labels: int = 1, context: int = 96, side: str = "right") -> str:
    tokenizer = tiny.byte_tokenizer()
    tokenizer.padding_side = side
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=context,
        pad_token_id=tokenizer.pad_token_id,
        num_labels=labels,
        initializer_range=0.5,
    )
    with torch.random.fork_rng():
        torch.manual_seed(3)
        LlamaForSequenceClassification(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return str(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> str:
    return reward_model(tmp_path_factory.mktemp("reward") / "model")


def answer(text: str, k: int = 0, **more):
    """A response whose ids are its bytes, whatever they spell, and the end of turn."""
    tokenizer = tiny.byte_tokenizer()
    ids = [id for letter in text for id in tokenizer.encode(letter)] + [tokenizer.eos_token_id]
    return response(k=k, ids=ids, text=text, **more)


def annotate(reward: ModelReward, responses, tmp_path: Path):
    """As a run does, with a policy of another tokenizer object."""
    loaded = Loader().load(tiny.byte_llama(tmp_path / "policy", 0, context=256))
    done: list[int] = []
    annotator = reward.for_round(CROSSLINGUAL, ("", ""), None)
    rows = annotator.annotate(responses, PROMPTS, LoadedModel(loaded.model, loaded.renderer, "policy"), done.append)
    annotator.release()
    assert sum(done) == len(responses) * annotator.passes
    assert annotator.model is None
    return rows


def by_hand(folder: str, text: str) -> float:
    """The template written out, and one forward pass of this conversation alone."""
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    ids = tiny.byte_tokenizer().encode(f"<|user|>{TEXT}<|end|><|assistant|>{text}<|end|>", add_special_tokens=False)
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids])).logits.item()


TEXTS = ["nyekundu", "a", "kijani na bluu", "nyekundu"]


@pytest.mark.parametrize("budget", [1, 130, 10_000])
@pytest.mark.parametrize("side", ["left", "right"])
def test_rewards_are_the_models_own_logits_whatever_the_batch_and_padding_side(tmp_path, budget, side):
    folder = reward_model(tmp_path / "reward", side=side)
    rows = annotate(ModelReward(folder, tokens_per_batch=budget), [answer(t, k) for k, t in enumerate(TEXTS)], tmp_path)
    assert [row.reward for row in rows] == pytest.approx([by_hand(folder, text) for text in TEXTS], abs=1e-5)
    assert rows[0].reward == rows[3].reward
    assert len({round(row.reward, 4) for row in rows}) == 3
    assert all(row.usable for row in rows)


def test_a_model_without_a_pad_token_is_run_one_by_one(folder):
    model = load_classifier(folder, "float32", "cpu")
    padded = classify(model, [[5, 6, 7], [8, 9]], tokens_per_batch=100)
    model.config.pad_token_id = None
    assert classify(model, [[5, 6, 7], [8, 9]], tokens_per_batch=100) == pytest.approx(padded, abs=1e-5)


def test_what_it_cannot_read_is_not_usable_and_says_why(folder, tmp_path):
    answers = [answer("b"), answer("b" * 90, 1), answer("b <|user|> c", 2), answer("cut", 3, finish_reason="length")]
    rows = annotate(ModelReward(folder), answers, tmp_path)
    assert [row.reason for row in rows] == ["", TOO_LONG, TURN_TOKENS, TRUNCATED]
    assert [row.usable for row in rows] == [True, False, False, False]


def test_the_head_and_its_labels_are_looked_at_before_anything_is_sampled(folder, tmp_path):
    ModelReward(folder).require()
    with pytest.raises(ModelError, match=r"The model folder .*nowhere does not exist"):
        ModelReward(str(tmp_path / "nowhere")).require()
    with pytest.raises(ModelError, match=r"has 3 labels, and a reward model has one"):
        ModelReward(reward_model(tmp_path / "three", labels=3)).require()
    with pytest.raises(ModelError, match="is LlamaForCausalLM, and no sequence classifier"):
        ModelReward(tiny.byte_llama(tmp_path / "causal", 0, context=64)).require()
    bare = Path(reward_model(tmp_path / "bare"))
    (bare / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match=r"no chat template: give the one .* as reward\.chat_template"):
        ModelReward(str(bare)).require()
    ModelReward(str(bare), chat_template=tiny.TEMPLATE).require()


def test_a_missing_head_is_refused_and_not_made_up(folder, tmp_path):
    causal = Path(tiny.byte_llama(tmp_path / "causal", 0, context=64))
    config = json.loads((causal / "config.json").read_text())
    config |= {"architectures": ["LlamaForSequenceClassification"], "id2label": {"0": "r"}, "label2id": {"r": 0}}
    (causal / "config.json").write_text(json.dumps(config))
    check_classifier(str(causal))
    with pytest.raises(ModelError, match=r"has not the weights score\.weight"):
        load_classifier(str(causal), "float32", "cpu")
