"""What samplers say of themselves: where they sample, and which of their settings change what is sampled."""

from __future__ import annotations

from dataclasses import replace

import pytest

from icr.data import CrosslingualPrompt, MultilingualPrompt, TranslatePrompt
from icr.sampling import PolicyTranslator, TransformersSampler, VLLMSampler, VLLMServerSampler

HERE = TransformersSampler()
SERVER = VLLMServerSampler(urls=("http://a",))
PROCESS = VLLMSampler()


@pytest.mark.parametrize(
    ("sampler", "setting"),
    [
        (HERE, {"tokens_per_batch": 1}),
        (SERVER, {"urls": ("http://b",)}),
        (SERVER, {"concurrency": 1}),
        (SERVER, {"prompts_per_part": 1}),
        (SERVER, {"tolerance": 0.5}),
        (PROCESS, {"python": "/usr/bin/python3"}),
    ],
)
def test_what_changes_no_response(sampler, setting):
    assert replace(sampler, **setting) == sampler
    assert replace(sampler, temperature=0.5) != sampler


def test_where_samplers_sample():
    assert HERE.tokens_per_batch == 65536
    assert SERVER.tokens_per_batch is None
    assert PROCESS.tokens_per_batch is None
    assert (HERE.prompts_per_part, SERVER.prompts_per_part) == (64, 256)


def test_which_reward_prompts_sample():
    by_policy = PolicyTranslator(HERE, "{text}", {})
    assert TranslatePrompt(by_policy).samples
    assert not CrosslingualPrompt("{instruction}", {}).samples
    assert not MultilingualPrompt().samples
