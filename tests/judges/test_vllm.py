"""Real vLLM on a CPU as the judge: its verdicts are those of the model's own logits, and its counts are ours."""

from __future__ import annotations

import json
import re
from pathlib import Path

import httpx
import pytest
import torch

from icr.errors import JudgeError
from icr.judges import Comparison, Endpoint, Message, OpenAIJudge, PairPrompt, Question
from icr.models.loading import Loader
from icr.types import Prompt
from tests.vllm_engine import SHAPE, RunningServer

pytestmark = pytest.mark.vllm

KEY = "sk-of-the-test"
TEXT = "{boundary} {prompt}\nA: {first}\nB: {second}\nWhich?"
PROMPT = PairPrompt("You judge.", TEXT, first=["A"], second=["B"])
ASKED = [Prompt(str(n), "ru", f"Почему небо голубое? {n}", f"Why is the sky blue? {n}") for n in range(6)]
COMPARISONS = [Comparison(prompt, f"Потому что. {prompt.id}", "I do not know.") for prompt in ASKED]


@pytest.fixture(scope="module")
def folder(model_folder) -> str:
    return str(model_folder("llama", 5, **{**SHAPE, "max_position_embeddings": 2048}))


@pytest.fixture(scope="module")
def running(vllm_server, folder) -> RunningServer:
    """Log-probs as they are sampled from, so that a bias for two tokens makes a judge of a random model."""
    arguments = ("--served-model-name", "judge", "--logprobs-mode", "processed_logprobs")
    server = vllm_server(folder, *arguments, VLLM_API_KEY=KEY)
    server.wait()
    return server


@pytest.fixture
def endpoint(running, folder, tmp_path, monkeypatch):
    """`endpoint(**settings)`: of the server, with the letters A and B far likelier than anything else."""
    monkeypatch.setenv("JUDGE_KEY", KEY)
    letters = Loader().renderer(folder).tokenizer.convert_tokens_to_ids(["A", "B"])
    bias = {"logit_bias": {str(id): 60.0 for id in letters}}
    own = {"model": "judge", "base_url": f"{running.url}/v1", "key_env": "JUDGE_KEY", "extra": bias}
    return lambda **settings: Endpoint(**{**own, "cache": str(tmp_path / "cache"), **settings})


def test_verdicts_are_those_of_the_models_own_logits(endpoint, folder):
    judge = OpenAIJudge(endpoint(), PROMPT)
    verdicts = judge.compare(COMPARISONS)
    loaded = Loader().load(folder)
    tokenizer = loaded.renderer.tokenizer
    letters, tokens = tokenizer.convert_tokens_to_ids(["A", "B"]), 0
    for comparison, verdict in zip(COMPARISONS, verdicts, strict=True):
        expected = []
        for shown in ((comparison.answer, comparison.reference), (comparison.reference, comparison.answer)):
            messages = [{"role": m.role, "content": m.content} for m in PROMPT.messages(comparison.prompt, *shown)]
            text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
            ids = tokenizer.encode(text, add_special_tokens=False)
            with torch.inference_mode():
                logits = loaded.model(torch.tensor([ids])).logits[0, -1, letters].double()
            expected.append(float(torch.sigmoid(logits[0] - logits[1])))
            tokens += len(ids)
        assert verdict.shown_first == pytest.approx(expected[0], abs=1e-4)
        assert verdict.shown_second == pytest.approx(1 - expected[1], abs=1e-4)
    spent = judge.spending
    assert (spent.requests, spent.retries, dict(spent.failed)) == (12, 0, {})
    assert (spent.prompt_tokens, spent.completion_tokens) == (tokens, 12)


def test_nothing_is_asked_twice_and_the_servers_counts_are_ours(endpoint, running):
    before, own = served(running), OpenAIJudge(endpoint(), PROMPT)
    first = own.compare(COMPARISONS)
    assert served(running) - before == own.spending.requests == 12
    again = OpenAIJudge(endpoint(), PROMPT)
    assert again.compare(COMPARISONS) == first
    assert (again.spending.requests, again.spending.cached) == (0, 12)
    assert served(running) - before == 12


def test_without_log_probs_a_verdict_is_the_likelier_letter(endpoint):
    weighed = OpenAIJudge(endpoint(), PROMPT).compare(COMPARISONS)
    written = OpenAIJudge(endpoint(), PROMPT, top_logprobs=None).compare(COMPARISONS)
    assert [v.shown_first for v in written] == [float(v.shown_first > 0.5) for v in weighed]


def test_longer_replies_are_read_whole(endpoint):
    (reply,) = endpoint(extra={}).ask([Question((Message("user", "Grade it."),), max_tokens=12, seed=1)], "test")
    assert reply.finish_reason in ("stop", "length")
    assert reply.completion_tokens <= 12


def test_another_name_or_key_stops_at_once(endpoint, monkeypatch, tmp_path):
    questions = [Question((Message("user", "?"),), max_tokens=1)]
    with pytest.raises(JudgeError, match=r"has no model 'other'.*judge\.endpoint\.model"):
        endpoint(model="other").ask(questions, "test")
    monkeypatch.setenv("JUDGE_KEY", "sk-wrong")
    with pytest.raises(JudgeError, match=r"refuses the key.*JUDGE_KEY"):
        endpoint(model="judge", revision="x").ask(questions, "test")
    kept = [json.loads(path.read_text()) for path in Path(tmp_path).rglob("*.json")]
    assert kept == []


def served(running: RunningServer) -> int:
    """Requests that the server says it has answered."""
    metrics = httpx.get(f"{running.url}/metrics").text
    return round(sum(float(n) for n in re.findall(r"^vllm:request_success_total\{.*\} (\S+)$", metrics, re.MULTILINE)))
