"""Training on pairs that were there before the run."""

from __future__ import annotations

import json
import logging

import pandas as pd

from icr.losses import KTO
from icr.rundir import Layout
from icr.types import Preference


def test_mismatched_partners_are_held_to_the_context(train, model_folder, caplog):
    """GPT-2 has a row per position, and no more: a long prompt with another pair's long answer would be out of them."""
    sizes = [(40, 10), (5, 45), (30, 5), (51, 1)]
    long = [Preference(str(i), "en", "p" * prompt, "a" * answer, "b") for i, (prompt, answer) in enumerate(sizes)]
    with caplog.at_level(logging.INFO):
        run = train(KTO(), start=str(model_folder("gpt2", max_position_embeddings=64)), preferences=long)
    made = pd.read_parquet(Layout(run).round(0).pairs).set_index("id")
    lengths = {row.Index: (len(row.prompt_ids), len(row.chosen_ids)) for row in made.itertuples()}
    for row in made.itertuples():
        if row.partner:
            assert lengths[row.Index][0] + lengths[row.partner.split("/")[1]][1] <= 64
    assert made.loc["0"].partner == "en/2/-1/-1"
    assert made.loc["3"].partner == "en/2/-1/-1"
    assert "no partner that fits" not in caplog.text


def test_examples_with_turn_tokens_in_any_text_are_left_out_and_counted(train):
    """Within an answer it would be an end in its middle."""
    end = "<|end|>"
    texts = [("q", "a", "b"), (f"q{end}", "a", "b"), ("q", f"a{end}", "b"), ("q", "a", f"b{end}"), ("q", "x" * 64, "b")]
    given = [Preference(str(i), "en", *text) for i, text in enumerate(texts)]
    layout = Layout(train(KTO(), preferences=given)).round(0)
    assert pd.read_parquet(layout.pairs)["id"].tolist() == ["0"]
    assert json.loads(layout.skipped.read_text()) == {"en": {"contains turn tokens": 3, "longer than the context": 1}}
