"""`ImplicitRewardModule`: both models' log-probs, and nothing that trains."""

from __future__ import annotations

import numpy as np
import torch

from icr.logps import score
from icr.modules.scorer import ImplicitRewardModule


def test_predicts_the_log_probs_of_both_models(make_model):
    policy, reference = make_model(seed=1).train(), make_model(seed=2).train()
    module = ImplicitRewardModule(policy, reference, tokens_per_batch=100)
    batch = [([6, 7, 8], [9, 2]), ([10], [2]), ([6, 7, 8], [9, 2]), (list(range(10, 70)), [30, 31, 2])]
    got = module.predict_step(batch)
    for model, side in ((policy, 0), (reference, 1)):
        expected = score(model, batch, tokens_per_batch=1000)
        for values, other in zip(got, expected, strict=True):
            np.testing.assert_allclose(values[side], other, rtol=0, atol=1e-5)
    assert not np.allclose(got[0][0], got[0][1])
    assert not any(p.requires_grad for p in module.parameters())
    assert not policy.training
    assert not reference.training


def test_a_model_against_itself_has_reward_zero(shared_model, make_model):
    model = make_model()
    module = ImplicitRewardModule(model, model, tokens_per_batch=50)
    generator = torch.Generator().manual_seed(0)
    batch = [(torch.randint(6, 262, (n,), generator=generator).tolist(), [7, 2]) for n in range(1, 20)]
    assert all(np.array_equal(policy, reference) for policy, reference in module.predict_step(batch))


def test_progress_counts_both_models(make_model):
    done = []
    module = ImplicitRewardModule(make_model(seed=1), make_model(seed=2), tokens_per_batch=10)
    module.predict_step([([6], [2]), ([7], [2]), ([8, 9, 10, 11, 12, 13, 14], [2])], on_batch=done.append)
    assert sum(done) == 6
