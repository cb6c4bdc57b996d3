"""The plan of a training: every item once a pass, full steps, the same each time."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icr.data.step_plan import FromPlace, StepPlan

PLANS = st.builds(
    StepPlan,
    size=st.integers(1, 40),
    global_batch_size=st.integers(1, 12),
    micro_batch_size=st.integers(1, 12),
    epochs=st.integers(1, 4),
    seed=st.tuples(st.integers(0, 99)),
)


def steps_of(plan: StepPlan) -> list[list[int]]:
    """The items of each step, put together from its micro-batches."""
    steps = []
    for part in plan.micro_batches():
        if part.first:
            steps.append(([], part.step))
        assert part.step is steps[-1][1]
        steps[-1][0].extend(part.items)
    assert all(items == step for items, step in steps)
    return [items for items, _ in steps]


@given(plan=PLANS)
def test_every_item_once_a_pass(plan):
    items = [item for step in steps_of(plan) for item in step]
    passes = [items[start : start + plan.size] for start in range(0, len(items), plan.size)]
    assert len(passes) == plan.epochs
    assert all(sorted(one) == list(range(plan.size)) for one in passes)


@given(plan=PLANS, max_steps=st.none() | st.integers(1, 30))
def test_lightnings_count_of_micro_batches_finds_the_steps(plan, max_steps):
    """Lightning ends a step every `accumulate_grad_batches` micro-batches, and at the last: only that may be short."""
    plan = StepPlan(plan.size, plan.global_batch_size, plan.micro_batch_size, plan.epochs, max_steps, plan.seed)
    parts = plan.micro_batches()
    every = plan.micro_batches_per_step
    assert [part.first for part in parts] == [place % every == 0 for place in range(len(parts))]
    steps = steps_of(plan)
    assert len(steps) == plan.steps
    assert {len(step) for step in steps[:-1]} <= {plan.global_batch_size}
    assert 1 <= len(steps[-1]) <= plan.global_batch_size
    assert all(1 <= len(part.items) <= plan.micro_batch_size for part in parts)


@given(plan=PLANS, micro=st.integers(1, 12))
def test_the_cut_does_not_change_the_steps(plan, micro):
    other = StepPlan(plan.size, plan.global_batch_size, micro, plan.epochs, None, plan.seed)
    assert steps_of(plan) == steps_of(other)


@given(plan=PLANS, ranks=st.integers(1, 5), max_steps=st.none() | st.integers(1, 9))
def test_ranks_share_the_steps_of_one_process(plan, ranks, max_steps):
    """The same steps, every item on one rank, and all ranks in step: as many micro-batches, none larger than asked."""
    alone = replace(plan, max_steps=max_steps)
    shared = replace(alone, ranks=ranks)
    parts = [shared.micro_batches(rank) for rank in range(ranks)]
    assert len({len(part) for part in parts}) == 1
    steps: list[list[int]] = []
    for micro in zip(*parts, strict=True):
        assert len({part.first for part in micro}) == 1
        assert all(part.step == micro[0].step for part in micro)
        assert max(len(part.items) for part in micro) > 0
        assert all(len(part.items) <= plan.micro_batch_size for part in micro)
        if micro[0].first:
            steps.append([])
        steps[-1] += [item for part in micro for item in part.items]
    assert [sorted(step) for step in steps] == [sorted(step) for step in steps_of(alone)]
    every = shared.micro_batches_per_step
    assert [part.first for part in parts[0]] == [place % every == 0 for place in range(len(parts[0]))]


@given(plan=PLANS, max_steps=st.integers(1, 50))
def test_max_steps_takes_the_place_of_epochs(plan, max_steps):
    limited = StepPlan(plan.size, plan.global_batch_size, plan.micro_batch_size, plan.epochs, max_steps, plan.seed)
    steps = steps_of(limited)
    assert len(steps) == limited.steps == max_steps
    assert {len(step) for step in steps} == {plan.global_batch_size}
    counts = Counter(item for step in steps for item in step)
    assert max(counts.values()) - min(counts[item] for item in range(plan.size)) <= 1
    # More steps, or more passes, only continue.
    common = min(max_steps, plan.steps - 1)
    assert steps_of(plan)[:common] == steps[:common]


def test_deterministic_and_shuffled_by_seed_and_pass():
    plan = StepPlan(50, 50, 50, epochs=2, seed=(3, 1))
    first, second = steps_of(plan)
    assert [first, second] == steps_of(StepPlan(50, 50, 50, epochs=2, seed=(3, 1)))
    assert first != second
    assert first != list(range(50))
    for seed in [(3, 2), (4, 1), (31,), ("3", 1)]:
        assert steps_of(StepPlan(50, 50, 50, epochs=2, seed=seed))[0] != first


def test_the_order_is_the_same_on_every_machine():
    assert steps_of(StepPlan(10, 4, 2, seed=(0, "x")))[0] == [7, 5, 3, 0]


def test_nothing_to_plan_is_refused():
    with pytest.raises(ValueError, match="nothing to plan"):
        StepPlan(0, 4, 2)


@given(total=st.integers(0, 20), start=st.integers(0, 20))
def test_from_place(total, start):
    sampler = FromPlace(total, start)
    assert list(sampler) == list(range(total))[start:]
    assert len(sampler) == total
