"""Translations by the policy: scored as they were sampled."""

from __future__ import annotations

import pytest
import torch

from icr.data import TranslatePrompt
from icr.sampling import PolicyTranslator, TransformersSampler
from icr.types import Prompt, Response

LIMIT = 8
ENGLISH = Prompt("a", "en", "Name a river.", "Name a river.")
SWAHILI = Prompt("a", "sw", "Taja mto.", "Name a river.")
PROMPTS = {("a", "en"): ENGLISH, ("a", "sw"): SWAHILI}


@pytest.fixture
def policy(loaded, make_model):
    """Ends some of what it says."""
    model = make_model(tie_word_embeddings=False)
    head = torch.nn.Linear(32, 262, bias=True)
    with torch.no_grad():
        head.weight.copy_(model.get_output_embeddings().weight)
        head.bias.zero_()
        head.bias[2] = 3.0
    model.set_output_embeddings(head)
    return loaded(model)


def test_a_translation_that_was_cut_gets_no_end_that_it_never_had(policy):
    sampler = TransformersSampler(n=3, temperature=1.0, max_new_tokens=LIMIT)
    translator = PolicyTranslator(sampler, "{language}: {text}", {"sw": "Swahili"})
    given = [Response("a", "sw", k, [1], [40 + k, 2], f"jibu {k}", "stop") for k in range(20)]
    given.append(Response("a", "en", 0, [1], [9, 2], "answer", "stop"))
    sequences = TranslatePrompt(translator).sequences(given, PROMPTS, policy)
    assert sequences[-1][1] == [9, 2]
    stops = policy.renderer.stop_ids
    cut = [ids for _, ids in sequences[:-1] if len(ids) == LIMIT and ids[-1] not in stops]
    ended = [ids for _, ids in sequences[:-1] if ids[-1] in stops]
    assert cut
    assert ended
    assert len(cut) + len(ended) == 20
    assert not any(stops & {*ids[:-1]} for ids in cut + ended)
