"""The client of vLLM servers, against servers on this machine that compute what they answer and fail on order."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from icr.errors import ConfigError, RunError
from icr.models.loading import LoadedModel, Loader
from icr.sampling import server_fleet
from icr.sampling.transformers_sampler import TransformersSampler
from icr.sampling.vllm_server_sampler import VLLMServerSampler
from icr.types import Prompt
from tests.sampling.stand_in_server import StandInServer

TEXTS = ["hi", "¿Qué es esto?", "Почему небо голубое?", "kwa nini?", "why"]
PROMPTS = [Prompt(str(i), "en", text, text) for i, text in enumerate(TEXTS)]
SEED = (0, 0)
GREEDY = VLLMServerSampler(n=2, temperature=0, max_new_tokens=5, urls=("http://nowhere",), retries=3)
SAMPLING = replace(GREEDY, temperature=1.0, n=3)


@pytest.fixture(autouse=True)
def quick(monkeypatch) -> None:
    """Retries that do not keep a test waiting."""
    monkeypatch.setattr(server_fleet, "FIRST_PAUSE", 0.02)


@pytest.fixture(scope="module")
def models(model_folder) -> dict[str, LoadedModel]:
    """Two rounds' models by path."""
    folders = [str(model_folder("llama", seed)) for seed in (1, 2)]
    return {folder: Loader().load(folder) for folder in folders}


@pytest.fixture(scope="module")
def old(models) -> LoadedModel:
    return next(iter(models.values()))


@pytest.fixture(scope="module")
def new(models) -> LoadedModel:
    return list(models.values())[1]


@pytest.fixture
def serve(models, old) -> Iterator[Callable[..., StandInServer]]:
    """Servers that were started on the old model."""
    started = []

    def start(**options) -> StandInServer:
        started.append(StandInServer(models, old.path, **options))
        return started[-1]

    yield start
    for server in started:
        server.stop()


def ask(sampler: VLLMServerSampler, policy: LoadedModel, *servers: StandInServer, prompts=PROMPTS):
    """Responses, and the engine let go of."""
    own = replace(sampler, urls=tuple(server.url for server in servers))
    try:
        return own.sample(policy, prompts, SEED)
    finally:
        own.release()


def expected(policy: LoadedModel):
    """What the policy says greedily."""
    return TransformersSampler(n=2, temperature=0, max_new_tokens=5).sample(policy, PROMPTS, SEED)


def test_each_rounds_weights_are_loaded_and_prefixes_forgotten(serve, old, new):
    server = serve()
    for policy in (old, new, old):
        assert ask(GREEDY, policy, server) == expected(policy)
    assert server.paths["/collective_rpc"] == server.paths["/reset_prefix_cache"] == 3
    assert expected(old) != expected(new)


def test_no_prompts_are_no_work(old):
    """As for a process of a run that has more of them than prompts."""
    assert GREEDY.sample(old, [], SEED) == []


def test_requests_are_spread_and_it_does_not_matter_where(serve, old):
    one, other = serve(), serve()
    together = ask(replace(SAMPLING, concurrency=1), old, one, other)
    assert together == ask(SAMPLING, old, serve())
    probes = len(PROMPTS)
    assert min(one.paths["/v1/completions"], other.paths["/v1/completions"]) > probes


def test_a_response_is_its_prompts_and_seeds(serve, old):
    server = serve()
    whole = ask(SAMPLING, old, server)
    assert len({tuple(r.response_ids) for r in whole}) > len(PROMPTS)
    assert [(r.id, r.k) for r in whole] == [(p.id, k) for p in PROMPTS for k in range(3)]
    assert all(r.prompt_ids == old.renderer.prompt_ids(PROMPTS[int(r.id)].text) for r in whole)
    part = ask(SAMPLING, old, server, prompts=[PROMPTS[3], PROMPTS[1]])
    assert part == [r for i in (3, 1) for r in whole if r.id == str(i)]
    assert [r for r in ask(replace(SAMPLING, n=5), old, server) if r.k < 3] == whole


@pytest.mark.parametrize("fault", [503, 500, 429, "drop", "half"])
def test_what_passes_is_waited_for(serve, old, fault, caplog):
    server = serve()
    server.faults = [None, fault, None, fault]
    with caplog.at_level(logging.WARNING):
        assert ask(replace(SAMPLING, concurrency=1), old, server) == ask(SAMPLING, old, serve())
    assert [f"vLLM server {server.url}: " in message for message in caplog.messages] == [True, True]


def test_pauses_double_and_a_success_ends_the_row(serve, old, caplog, monkeypatch):
    monkeypatch.setattr(server_fleet, "FIRST_PAUSE", 0.1)
    server = serve()
    server.faults = [503, 503, 503, None, 503]
    with caplog.at_level(logging.WARNING):
        ask(replace(SAMPLING, concurrency=1), old, server)
    assert [record.args[2] for record in caplog.records] == [pytest.approx(0.1 * k, rel=0.26) for k in (1, 2, 4, 1)]
    server.faults = [503] * 4
    with pytest.raises(RunError, match="as ordered"):
        ask(replace(SAMPLING, concurrency=1), old, server)


def test_a_server_that_comes_back_with_other_weights_is_loaded_again(serve, new):
    """Restarted by a supervisor in mid-sampling, on the model of its command line."""
    server = serve()
    server.faults = [None, None, "restart"]
    assert ask(replace(GREEDY, concurrency=1), new, server) == expected(new)
    assert server.paths["/collective_rpc"] == 2


def test_the_rest_goes_to_the_others_when_one_dies(serve, old, caplog):
    dying, well = serve(), serve()
    dying.faults = [None, *["drop"] * 100]
    with caplog.at_level(logging.WARNING):
        assert ask(replace(SAMPLING, concurrency=1), old, dying, well) == ask(SAMPLING, old, serve())
    well.stop()


def test_when_all_are_gone_it_is_said_where_and_how_to_go_on(serve, old):
    first, second = serve(), serve()
    second.stop()
    first.faults = [None, None, *["drop"] * 100]
    with pytest.raises(RunError) as caught:
        ask(SAMPLING, old, first, second)
    message = str(caught.value)
    assert first.url in message
    assert second.url in message
    assert "the same command goes on from here" in message


def test_weights_that_nobody_can_load_are_refused(serve, new):
    server = serve(development=False)
    with pytest.raises(RunError, match="VLLM_SERVER_DEV_MODE=1") as caught:
        ask(GREEDY, new, server)
    assert f"serves {server.root}, not {new.path}" in str(caught.value)


def test_the_right_name_is_no_proof(serve, old, new):
    """It says that it was started on this folder, but holds what lay there before."""
    server = serve(development=False)
    assert ask(GREEDY, old, server) == expected(old)
    server.held = new.path
    with pytest.raises(RunError, match=f"does not hold the weights of {old.path}"):
        ask(GREEDY, old, server)


def test_weights_are_verified_between_parts_too(serve, old, new):
    """Somebody else has reloaded the server since the last part."""
    server = serve(development=False)
    own = replace(GREEDY, urls=(server.url,))
    own.sample(old, PROMPTS, SEED)
    server.held = new.path
    with pytest.raises(RunError, match="does not hold the weights"):
        own.sample(old, PROMPTS, SEED)
    own.release()


def test_another_policy_without_a_release_is_noticed(serve, old, new):
    own = replace(GREEDY, urls=(serve().url,))
    assert own.sample(old, PROMPTS, SEED) == expected(old)
    assert own.sample(new, PROMPTS, SEED) == expected(new)
    own.release()


@pytest.mark.parametrize(("tolerance", "well"), [(None, False), (0.5, True), (1e-4, False)])
def test_the_tolerance(serve, make_model, models, old, tolerance, well, tmp_path):
    """Weights a little off: as of another dtype, or of one training step."""
    model = make_model("llama", 1)
    with torch.no_grad():
        model.model.norm.weight.mul_(1.01)
    server = serve(development=False)
    server.models = {**models, old.path: LoadedModel(model, old.renderer, old.path)}
    sampler = replace(GREEDY, tolerance=tolerance)
    if well:
        assert len(ask(sampler, old, server)) == 2 * len(PROMPTS)
    else:
        with pytest.raises(RunError, match="does not hold"):
            ask(sampler, old, server)


def test_an_adapter_is_loaded_by_its_content_and_taken_away(serve, models, new, tmp_path):
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "base", "r": 4}')
    (tmp_path / "adapter_model.safetensors").write_bytes(b"weights")
    adapted = LoadedModel(new.model, new.renderer, str(tmp_path))
    server = serve(development=False)
    server.models = {**models, str(Path(tmp_path).resolve()): adapted}
    server.faults = [None, "restart"]
    assert ask(replace(GREEDY, concurrency=1), adapted, server) == expected(new)
    assert server.paths["/v1/load_lora_adapter"] == 2
    assert server.adapters == {}


def test_keys_are_sent_and_not_shown(serve, old, monkeypatch):
    server = serve(key="s3cret")
    monkeypatch.setenv("OTHER_KEY", "s3cret")
    assert ask(replace(GREEDY, api_key_env="OTHER_KEY"), old, server) == expected(old)
    monkeypatch.setenv("OTHER_KEY", "wr0ng")
    with pytest.raises(RunError, match="status 401") as caught:
        ask(replace(GREEDY, api_key_env="OTHER_KEY"), old, server)
    assert "wr0ng" not in str(caught.value)


@pytest.mark.parametrize("key", ["line\nbreak", "schlüssel"])
def test_a_key_that_no_header_can_have_is_refused_before_anything_is_loaded(monkeypatch, key):
    monkeypatch.setenv("VLLM_API_KEY", key)
    with pytest.raises(ConfigError, match="The key in the variable VLLM_API_KEY has characters") as caught:
        GREEDY.require()
    assert key not in str(caught.value)


def test_a_key_from_a_file_ends_before_its_line_break(serve, old, monkeypatch):
    monkeypatch.setenv("VLLM_API_KEY", "s3cret\n")
    assert ask(GREEDY, old, serve(key="s3cret")) == expected(old)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"faults": [400]}, "refuses a request with status 400: as ordered"),
        ({"with_token_ids": False}, "does not give token ids"),
        ({"context": 20}, "max_model_len"),
    ],
)
def test_what_no_retry_would_mend(serve, old, change, message):
    server = serve()
    for name, value in change.items():
        setattr(server, name, value)
    started = time.monotonic()
    with pytest.raises(RunError, match=message):
        ask(SAMPLING, old, server)
    assert time.monotonic() - started < 5


def test_another_name_is_refused(serve, old):
    with pytest.raises(RunError, match=r"does not serve sampling\.model=other, but served"):
        ask(replace(GREEDY, model="other"), old, serve())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"urls": ()}, "urls is empty"),
        ({"urls": ("localhost:8000",)}, "is not an address"),
        ({"urls": ("ftp://host",)}, "is not an address"),
        ({"urls": ("http://host:8000/v1/",)}, "without /v1"),
        ({"urls": ("http://me:pass@host",)}, "holds a password"),
        ({"urls": ("me:pass@host:8000",)}, "'host:8000' is not an address"),
        ({"urls": ("http://me:pass@host:port",)}, "'host:port' is not an address"),
        ({"urls": ("http://host:99999",)}, "is not an address"),
        ({"urls": (f"http://{'a' * 70}.org",)}, "is not an address"),
        ({"urls": ("http://host:8000?key=pass@",)}, "holds a password"),
        ({"urls": ("http://a",), "retries": 0}, "retries must be a whole number of at least 1"),
        ({"urls": ("http://a",), "timeout": 0}, "timeout must be above 0"),
        ({"urls": ("http://a",), "tolerance": 0.0}, "tolerance must be above 0 or null"),
        ({"urls": ("http://a",), "prompts_per_part": 0}, "prompts_per_part must be a whole number"),
    ],
)
def test_settings_that_are_refused(settings, message):
    with pytest.raises(ValueError, match=message) as caught:
        VLLMServerSampler(**settings)
    assert "pass@" not in str(caught.value)
