"""Pairs as tensors: whose token lies where, what the objective asks for, what belongs to the whole step."""

from __future__ import annotations

import pytest
import torch

from icr.data.collate import collate, mismatch
from icr.data.datamodule import CrossLingualPairDataModule
from icr.losses import DPO, KTO, NLL
from icr.types import PreferencePair, StepTotals

TOTALS = StepTotals(pairs=7, chosen_tokens=50)


def pair(id: str, prompt: list[int], chosen: list[int], rejected: list[int], partner: str = "") -> PreferencePair:
    place = float(id)
    return PreferencePair(
        id=id,
        language="sw",
        prompt="",
        chosen="",
        rejected="",
        prompt_ids=prompt,
        chosen_ids=chosen,
        rejected_ids=rejected,
        partner=partner,
        reference_chosen_logp=-10 - place,
        reference_rejected_logp=-20 - place,
        reference_partner_chosen_logp=-30 - place,
        reference_partner_rejected_logp=-40 - place,
    )


PAIRS = [
    pair("0", [11, 12, 13], [21, 2], [31, 32, 33, 2], partner="sw/1/-1/-1"),
    pair("1", [14], [2], [34, 2], partner="sw/0/-1/-1"),
    pair("2", [15, 16], [22, 23, 2], [2]),
]
BY_KEY = {row.key: row for row in PAIRS}


def sequences(layout) -> list[tuple[list[int], list[int]]]:
    """Read a layout back: the inputs up to the first predicting position, and the targets."""
    layout = layout.apart()
    result = []
    start = 0
    for row, length in enumerate(layout.lengths.tolist()):
        span = slice(start, start + length)
        assert (layout.rows[span] == row).all()
        columns = layout.columns[span].tolist()
        assert columns == list(range(columns[0], columns[0] + length))
        targets = layout.targets[span].tolist()
        # What is fed is what was predicted one position before.
        assert layout.input_ids[row, columns[0] + 1 : columns[0] + length].tolist() == targets[:-1]
        assert not layout.input_ids[row, columns[0] + length :].any()
        result.append((layout.input_ids[row, : columns[0] + 1].tolist(), targets))
        start += length
    return result


def test_chosen_then_rejected():
    batch = collate(PAIRS, TOTALS, rejected=True, reference=True)
    chosen = [(row.prompt_ids, row.chosen_ids) for row in PAIRS]
    assert batch.layout.input_ids.shape[0] == 3  # Chosen and rejected share the prompt.
    assert sequences(batch.layout) == chosen + [(row.prompt_ids, row.rejected_ids) for row in PAIRS]
    assert batch.reference.chosen.tolist() == [-10.0, -11.0, -12.0]
    assert batch.reference.rejected.tolist() == [-20.0, -21.0, -22.0]
    assert batch.reference.chosen.dtype == torch.float64
    assert (batch.ids, batch.languages) == (["0", "1", "2"], ["sw"] * 3)
    assert batch.totals == TOTALS
    assert batch.mismatched is None


def test_only_what_the_objective_asks_for():
    batch = collate(PAIRS, TOTALS, rejected=False, reference=False)
    assert sequences(batch.layout) == [(row.prompt_ids, row.chosen_ids) for row in PAIRS]
    assert batch.reference is None


@pytest.mark.parametrize("per_pass", [1, 2, 3, 100])
def test_mismatched_responses_are_of_another_prompt(per_pass):
    got = mismatch([PAIRS[0], PAIRS[1]], BY_KEY, sequences_per_pass=per_pass)
    assert [s for layout in got.layouts for s in sequences(layout)] == [
        ([11, 12, 13], [2]),
        ([14], [21, 2]),
        ([11, 12, 13], [34, 2]),
        ([14], [31, 32, 33, 2]),
    ]
    assert max(len(layout.lengths) for layout in got.layouts) == min(per_pass, 4)
    assert got.reference.tolist() == [-30.0, -31.0, -40.0, -41.0]


def test_no_pair_with_a_partner():
    got = mismatch([], BY_KEY, sequences_per_pass=4)
    assert got.layouts == []
    assert got.reference.shape == (0,)
    assert got.reference.dtype == torch.float64


@pytest.mark.parametrize("per_pass", [1, 2, 3, 100])
@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_share_the_mismatched_responses_in_equally_many_passes(ranks, per_pass):
    whole = mismatch([PAIRS[0], PAIRS[1]], BY_KEY, sequences_per_pass=100)
    shares = [
        mismatch([PAIRS[0], PAIRS[1]], BY_KEY, sequences_per_pass=per_pass, rank=rank, ranks=ranks)
        for rank in range(ranks)
    ]
    assert len({len(share.layouts) for share in shares}) == 1
    counted = []
    for share in shares:
        read = [s for layout in share.layouts for s in sequences(layout)]
        counted += list(zip(share.reference.tolist(), read, strict=False))
        assert max(len(layout.lengths) for layout in share.layouts) <= per_pass
    assert sorted(counted) == sorted(zip(whole.reference.tolist(), sequences(whole.layouts[0]), strict=True))


def test_a_rank_without_a_pair_has_something_to_pass_through():
    batch = collate([], TOTALS, rejected=True, reference=True, stand_in=PAIRS[1])
    assert sequences(batch.layout) == [([14], [2])]
    assert (batch.ids, batch.languages) == ([], [])
    assert batch.reference.chosen.shape == batch.reference.rejected.shape == (0,)
    assert batch.totals == TOTALS


@pytest.mark.parametrize("micro", [1, 2, 3])
@pytest.mark.parametrize("objective", [DPO(), KTO(), NLL()], ids=lambda x: type(x).__name__)
def test_micro_batches_of_the_data_module(objective, micro):
    datamodule = CrossLingualPairDataModule(global_batch_size=2, micro_batch_size=micro, epochs=2)
    assert datamodule.steps is None
    datamodule.set_pairs(PAIRS, objective, (0, 0))
    assert datamodule.steps == 3
    assert datamodule.accumulate == (2 if micro == 1 else 1)
    parts = [datamodule.micro_batches[i] for i in range(len(datamodule.micro_batches))]
    assert sorted(id for part in parts for id in part.ids) == sorted(["0", "1", "2"] * 2)
    for start in range(0, len(parts), datamodule.accumulate):
        step = parts[start : start + datamodule.accumulate]
        tokens = sum(len(PAIRS[int(id)].chosen_ids) for part in step for id in part.ids)
        assert [part.totals for part in step] == [StepTotals(2, tokens)] * len(step)
        # The mismatched responses of the whole step come once, with its first micro-batch.
        assert [part.mismatched is not None for part in step] == [
            isinstance(objective, KTO),
            *[False] * (len(step) - 1),
        ]
        if isinstance(objective, KTO):
            partnered = [id for part in step for id in part.ids if id != "2"]
            values = step[0].mismatched.reference.tolist()
            assert values == [-30.0 - int(id) for id in partnered] + [-40.0 - int(id) for id in partnered]
            assert all(len(layout.lengths) <= 2 * datamodule.micro_batch_size for layout in step[0].mismatched.layouts)
    assert (parts[0].reference is None) == isinstance(objective, NLL)
