"""Rows survive the disk, and other programs read them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from icr.rundir.tables import PairTable, ResponseTable, Table
from icr.types import PreferencePair, Response, ScoredResponse
from tests.e2e import tiny
from tests.rounds.rows import pair, prompt, response, scored


def test_scored_responses_come_back_bit_by_bit(tmp_path: Path):
    rows = [scored(k=k, reward=value) for k, value in enumerate([0.1 + 0.2, -1e-300, 1e300, 5e-324])]
    table = Table(ScoredResponse)
    table.write(tmp_path / "t", rows)
    assert table.read(tmp_path / "t") == rows


def test_a_judges_missing_log_probs_come_back_as_nan(tmp_path: Path):
    table = Table(ScoredResponse)
    table.write(tmp_path / "t", [scored(policy_logp=math.nan)])
    assert math.isnan(table.read(tmp_path / "t")[0].policy_logp)


def test_responses_stand_beside_their_prompts(tmp_path: Path):
    import pandas as pd

    prompts = {("p", "sw"): prompt(), ("p", "th"): prompt(language="th", text="บอกชื่อสี\n\x00“ç”")}
    rows = [response(), response(language="th", k=1, ids=(2,), text="", finish_reason="length")]
    table = ResponseTable(Response, prompts)
    table.write(tmp_path / "t", rows)
    assert table.read(tmp_path / "t") == rows
    frame = pd.read_parquet(tmp_path / "t")
    assert frame.prompt.tolist() == [p.text for p in prompts.values()]
    assert frame.english.tolist() == ["Name a colour."] * 2


def test_pairs_come_back(tmp_path: Path):
    rows = [pair(partner="sw/q/0/1", reference_chosen_logp=-3.25, chosen_reward=0.1), pair("q", rejected_ids=[])]
    table = PairTable(PreferencePair)
    table.write(tmp_path / "t", rows)
    assert table.read(tmp_path / "t") == rows


def test_demonstrations_alone_come_back(tmp_path: Path):
    """A column of nothing but empty lists has no type of its own."""
    rows = [pair(id, rejected="", rejected_ids=[], rejected_tokens=0) for id in "ab"]
    table = PairTable(PreferencePair)
    table.write(tmp_path / "t", rows)
    assert table.read(tmp_path / "t") == rows


def test_no_rows_come_back_as_no_rows(tmp_path: Path):
    Table(ScoredResponse).write(tmp_path / "t", [])
    assert Table(ScoredResponse).read(tmp_path / "t") == []


def load_pairs(path: Path, cache: Path):
    """The pairs file through `datasets`."""
    from datasets import load_dataset

    return load_dataset("parquet", data_files=str(path), split="train", cache_dir=str(cache))


def test_datasets_reads_pairs_as_conversations(tmp_path: Path):
    PairTable(PreferencePair).write(tmp_path / "pairs.parquet", [pair(), pair("q")])
    dataset = load_pairs(tmp_path / "pairs.parquet", tmp_path / "cache")
    assert len(dataset) == 2
    assert dataset[0]["prompt"] == [{"role": "user", "content": "Taja rangi."}]
    assert dataset[0]["chosen"] == [{"role": "assistant", "content": "nyekundu"}]
    assert dataset[0]["rejected"] == [{"role": "assistant", "content": "ndiyo"}]
    assert dataset[0]["chosen_ids"] == [5, 6, 2]


def test_trl_trains_on_pairs_as_they_are(tmp_path: Path):
    trl = pytest.importorskip("trl")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = tiny.byte_llama(tmp_path / "model", 0, context=256)
    PairTable(PreferencePair).write(tmp_path / "pairs.parquet", [pair(), pair("q", chosen="bluu", rejected="hapana")])
    settings = trl.DPOConfig(
        output_dir=str(tmp_path / "out"),
        max_steps=1,
        per_device_train_batch_size=2,
        report_to=[],
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        save_strategy="no",
        disable_tqdm=True,
    )
    trainer = trl.DPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(path),
        args=settings,
        train_dataset=load_pairs(tmp_path / "pairs.parquet", tmp_path / "cache"),
        processing_class=AutoTokenizer.from_pretrained(path),
    )
    assert trainer.train().training_loss == pytest.approx(math.log(2), abs=1e-3)
