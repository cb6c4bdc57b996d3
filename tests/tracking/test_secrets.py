"""What is hidden of settings, and what is not."""

from __future__ import annotations

import hydra
import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from icr.config.files import conf_dir
from icr.tracking.secrets import HIDDEN, is_secret, without_secrets


@pytest.mark.parametrize(
    "key",
    [
        "api_key",
        "apiKey",
        "OPENAI_API_KEY",
        "X-Api-Key",
        "hf_token",
        "HF_TOKEN",
        "judge.endpoint.extra.password",
        "accessKey",
        "AWS_SECRET_ACCESS_KEY",
        "client_secret",
        "headers",
        "extra_headers",
        "Authorization",
    ],
)
def test_a_key_that_says_so_is_secret(key):
    assert is_secret(key)
    assert without_secrets({key: "s3cret", "beside": {key: {"of": ["s3cret"]}}}) == {
        key: HIDDEN,
        "beside": {key: {"of": [HIDDEN]}},
    }


@pytest.mark.parametrize("key", ["max_tokens", "max_new_tokens", "token_clip", "api_key_env", "key", "monkey", "", "_"])
def test_other_keys_are_not(key):
    assert not is_secret(key)
    assert without_secrets({key: "seen"}) == {key: "seen"}


def test_switches_and_nothing_stay():
    settings = {"token": None, "headers": {}, "secret": True, "api_key": ""}
    assert without_secrets(settings) == settings


def test_a_key_of_digits_alone_is_a_secret_too():
    hidden = {"api_key": HIDDEN, "headers": {"X-A": HIDDEN}}
    assert without_secrets({"api_key": 1234567890123, "headers": {"X-A": 12345678}}) == hidden


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        ("https://me:s3cret@host:8000/v1", "https://host:8000/v1"),
        ("postgresql://me:s3cret@host/db", "postgresql://host/db"),
        ("postgresql://me:s3/cret@host/db", "postgresql://host/db"),
        ("http://me:s3@cret@host", "http://host"),
        ("judge={api_key: s3cret}", f"judge={HIDDEN}"),
        ("++judge.extra={headers: {X: s3cret}}", f"++judge.extra={HIDDEN}"),
        ("judge.headers.X-Tenant=s3cret", f"judge.headers.X-Tenant={HIDDEN}"),
        ("http://host/v1?api_key=s3cret&n=1", f"http://host/v1?api_key={HIDDEN}&n=1"),
        ("judge.endpoint.extra.api_key=s3cret", f"judge.endpoint.extra.api_key={HIDDEN}"),
        ("loss.alpha=0.5", "loss.alpha=0.5"),
        ("Bearer s3cret-s3cret", HIDDEN),
        ("sk-s3cret0123456789abcdef", HIDDEN),
        ("a basic example", "a basic example"),
        ("org/model-7B@main", "org/model-7B@main"),
    ],
)
def test_values_are_looked_at_wherever_they_stand(value, seen):
    assert without_secrets({"a": {"b": [value]}, "c": value}) == {"a": {"b": [seen]}, "c": seen}


def test_the_value_of_a_secret_variable_is_hidden_in_any_text(monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", "no-form-of-its-own")
    assert without_secrets({"name": "x no-form-of-its-own y"}) == {"name": f"x {HIDDEN} y"}
    monkeypatch.setenv("SOME_API_KEY", "dpo")
    assert without_secrets({"loss": "dpo"}) == {"loss": "dpo"}


def test_the_settings_of_this_project_are_all_seen():
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        for choices in ([], ["judge=vllm"], ["sampling=vllm_server", "sampling.urls=[http://a:1]"]):
            cfg = OmegaConf.to_container(
                hydra.compose("config", [*choices, "~evaluation.reward_prompts"]), resolve=True
            )
            assert without_secrets(cfg) == cfg


nested = st.recursive(
    st.none() | st.integers() | st.just("s3cret-of-mine"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@given(nested)
def test_nothing_below_a_secret_key_is_seen(value):
    assert "s3cret-of-mine" not in repr(without_secrets({"headers": value}))
