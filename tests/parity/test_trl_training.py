"""A few optimiser steps beside TRL's trainers: same pairs, same order, same AdamW; so the same losses and weights.

TRL tokenises the conversations itself, so that rendering is compared too.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from datasets import Dataset

from icr.data.step_plan import StepPlan
from icr.losses import DPO, KTO
from icr.rounds.pairs import from_given
from icr.types import Preference, PreferencePair
from tests.tiny_training import referenced

pytest.importorskip("trl")
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer

TEXTS = [
    ("hi", "hello there", "go away"),
    ("¿Qué es esto?", "una prueba", "no sé, la verdad"),
    ("kwa nini anga ni ya bluu?", "kwa sababu ya mwanga", ""),
    ("что?", "ничего", "что-то другое, длиннее"),
    ("one two three", "four", "five six"),
    ("sag was", "", "was"),
    ("a longer prompt, to have one", "short", "shorter"),
    ("th: ทำไม", "เพราะ", "ไม่รู้"),
]
LR, BATCH, EPSILON = 1e-3, 4, 1e-6
STEPS = len(TEXTS) // BATCH * 2
LESS_LIKELY = dict(seed=1, initializer_range=0.35)
"""A reference under which responses are less likely than under the policy, so that KTO's reference point is above 0."""

pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning")


@pytest.fixture
def pairs(loaded, shared_model) -> list[PreferencePair]:
    """Rendered by us, with the reference's log-probs."""
    reference = loaded(shared_model(seed=1))
    rows = [Preference(str(i), "en", *texts) for i, texts in enumerate(TEXTS)]
    return referenced(from_given(rows, reference.renderer), reference, partners=False)


def order() -> list[int]:
    """Of the pairs, over all steps, as our plan has it for seed (0,)."""
    plan = StepPlan(len(TEXTS), BATCH, BATCH, epochs=2, seed=(0,))
    return [item for part in plan.micro_batches() for item in part.items]


def arguments(folder, rows: int) -> dict:
    return dict(
        output_dir=str(folder),
        per_device_train_batch_size=rows,
        num_train_epochs=1,
        learning_rate=LR,
        lr_scheduler_type="constant",
        adam_epsilon=EPSILON,
        weight_decay=0.0,
        max_grad_norm=0.0,
        train_sampling_strategy="sequential",
        logging_steps=1,
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=True,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        beta=0.1,
    )


def optimizer(parameters, lr: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=lr, eps=EPSILON, weight_decay=0.0)


def recording(trainer_class):
    """The trainer, with each step's loss kept as it is: its log rounds them."""

    class Recording(trainer_class):
        def compute_loss(self, *args, **kwargs):
            loss = super().compute_loss(*args, **kwargs)
            self.__dict__.setdefault("losses", []).append(loss.item())
            return loss

    return Recording


def turn(role: str, text: str) -> list[dict[str, str]]:
    return [{"role": role, "content": text}]


def assert_same(recorded, model, trainer, start) -> None:
    assert len(trainer.losses) == STEPS
    assert recorded.losses == pytest.approx(trainer.losses, abs=1e-4)
    assert max(recorded.losses) - min(recorded.losses) > 0.05
    moved = 0.0
    for (name, ours), theirs in zip(model.named_parameters(), trainer.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=LR / 20, msg=lambda text, name=name: f"{name}: {text}")
        moved = max(moved, (ours - start[name]).abs().max().item())
    assert moved > LR


@pytest.mark.parametrize("micro", [1, 4])
@pytest.mark.parametrize("alpha", [1.0, 0.3])
def test_dpo_with_nll(make_model, shared_model, make_tokenizer, pairs, fit, tmp_path, alpha, micro):
    rows = [
        {"prompt": turn("user", p), "chosen": turn("assistant", c), "rejected": turn("assistant", r)}
        for p, c, r in (TEXTS[i] for i in order())
    ]
    trainer = recording(DPOTrainer)(
        model=make_model(seed=2),
        ref_model=make_model(seed=1),
        args=DPOConfig(
            **arguments(tmp_path, BATCH), loss_type=["sigmoid", "sft"], loss_weights=[1.0, alpha], max_length=None
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=make_tokenizer(),
    )
    for row, place in zip(trainer.train_dataset, order(), strict=True):
        for theirs, ours in [
            ("prompt_ids", "prompt_ids"),
            ("chosen_ids", "chosen_ids"),
            ("rejected_ids", "rejected_ids"),
        ]:
            assert row[theirs] == getattr(pairs[place], ours)
    trainer.train()

    model = make_model(seed=2)
    start = {n: p.detach().clone() for n, p in model.named_parameters()}
    objective = DPO(beta=0.1, alpha=alpha, nll_reduction="token")
    recorded = fit(model, pairs, objective, micro=micro, batch=BATCH, epochs=2, lr=LR, optimizer=optimizer)
    assert_same(recorded, model, trainer, start)


@pytest.mark.parametrize("micro", [1, 4])
def test_kto(make_model, shared_model, loaded, make_tokenizer, pairs, fit, tmp_path, micro):
    """TRL rotates completions by one within a batch. With a batch's desirable examples first and then its undesirable
    ones, the mismatched completions are those of the pair before, the first pair's being the last's: `partner` here.
    """
    places = order()[: len(TEXTS)]
    steps = [places[cut : cut + BATCH] for cut in range(0, len(places), BATCH)]
    rows = [
        {"prompt": turn("user", TEXTS[i][0]), "completion": turn("assistant", TEXTS[i][1 + side]), "label": side == 0}
        for step in steps
        for side in (0, 1)
        for i in step
    ]
    trainer = recording(KTOTrainer)(
        model=make_model(seed=9, initializer_range=0.2),
        ref_model=make_model(**LESS_LIKELY),
        args=KTOConfig(**{**arguments(tmp_path, 2 * BATCH), "num_train_epochs": 2}, max_length=None),
        train_dataset=Dataset.from_list(rows),
        processing_class=make_tokenizer(),
    )
    trainer.train()
    kl = [float(entry["kl"]) for entry in trainer.state.log_history if "kl" in entry]

    previous = {step[place]: step[place - 1] for step in steps for place in range(BATCH)}
    partnered = [replace(pair, partner=pairs[previous[i]].key) for i, pair in enumerate(pairs)]
    partnered = referenced(partnered, loaded(shared_model(**LESS_LIKELY)), partners=True)
    # Shuffled passes would change what is in a step: the second pass here repeats the first.
    twice = [partnered[i] for i in places] * 2
    model = make_model(seed=9, initializer_range=0.2)
    start = {n: p.detach().clone() for n, p in model.named_parameters()}
    recorded = fit(
        model, twice, KTO(beta=0.1, alpha=0.0), micro=micro, batch=BATCH, lr=LR, optimizer=optimizer, ordered=True
    )
    assert min(kl) > 0.1
    assert [metrics["kl"] for metrics in recorded.metrics] == pytest.approx(kl[:STEPS], rel=1e-3)
    assert_same(recorded, model, trainer, start)
