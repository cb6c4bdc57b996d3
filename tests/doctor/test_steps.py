"""The warning about steps that 16-bit weights cannot hold, against AdamW itself."""

from __future__ import annotations

import pytest
import torch

from icr.doctor.checks.training import USUAL, lost_share


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("step", [5e-7, 1e-5, 2.5e-5, 4e-5, 2e-4])
def test_share_of_weights_that_adamw_leaves_as_they_are(dtype, step):
    torch.manual_seed(0)
    weight = torch.nn.Parameter((USUAL * torch.randn(100_000)).to(dtype))
    before = weight.detach().clone()
    weight.grad = torch.randn(100_000).to(dtype)
    torch.optim.AdamW([weight], lr=step, weight_decay=0).step()
    assert lost_share(step, dtype) == pytest.approx((weight == before).float().mean().item(), abs=0.02)


@pytest.mark.parametrize(
    ("overrides", "level", "words"),
    [
        (["model.loader.dtype=bfloat16"], "warn", "optim.lr=5e-07 (AdamW), rounded away in 99% of bfloat16 weights"),
        (["trainer.precision=bf16-true"], "warn", "99% of bfloat16"),
        (["trainer.precision=16-true", "optim.optimizer.eps=1e-6"], "warn", "92% of float16"),
        (["model.loader.dtype=bfloat16", "trainer.precision=bf16-mixed"], "warn", "99% of bfloat16"),
        (["model.loader.dtype=bfloat16", "optim.lr=4e-5"], "pass", "43% of bfloat16"),
        (["trainer.precision=bf16-mixed"], "pass", "0% of float32"),
    ],
)
def test_steps(overrides, level, words, examine):
    seen = examine("check", "optim=adamw", "model.path=nobody/nothing", *overrides)
    finding = seen.finding("steps")
    assert finding["level"] == level
    assert words in finding["seen"]
    assert ("trainer.precision=bf16-mixed" in finding["advice"]) == (level == "warn")


def test_no_word_about_adapters_and_other_optimisers(examine):
    dropped = ("~optim.optimizer.betas=[0.9,0.999]", "~optim.optimizer.eps=1e-8", "~optim.optimizer.fused=true")
    for overrides in (["adapter=lora"], ["optim.optimizer._target_=torch.optim.SGD", *dropped]):
        chosen = ["model.loader.dtype=bfloat16", "optim=pocket", "optim.lr=5e-7", *overrides]
        seen = examine("check", "model.path=nobody/nothing", *chosen)
        assert "steps" not in {finding["name"] for finding in seen.results["findings"]}
