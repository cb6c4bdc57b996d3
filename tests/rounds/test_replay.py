"""Replay: how many pairs, from where, drawn how; with partners and references of the round that they come into."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from icr.losses import KTO
from icr.models.loading import Loader
from icr.rounds.pairs import with_partners
from icr.rounds.replay import ReplayFile, ReplayRounds, with_replay
from tests.e2e import tiny
from tests.rounds.rows import pair
from tests.tiny_training import referenced

OWN = [pair(str(n)) for n in range(12)]
POOL = ReplayRounds(0.5).pool(
    [[replace(pair(str(n)), partner="x", reference_chosen_logp=-9.0) for n in range(40)]], None, None
)


@pytest.mark.parametrize(("share", "count"), [(0.5, 12), (0.25, 4), (0.6, 18), (0.75, 36), (0.9, 40)])
def test_a_share_of_all_pairs_is_replayed_as_far_as_there_are_some(share, count, caplog):
    """γ of n + m pairs is m: m = γ/(1 − γ)·n. At 0.9 it would be 108, and there are 40."""
    caplog.set_level("INFO")
    made = with_replay(OWN, POOL, share, (0, 1), "round_1")
    assert made[:12] == OWN
    assert len(made) - 12 == count
    assert len({row.key for row in made}) == len(made)
    assert f"{count} pairs replayed beside 12 of its own" in caplog.text
    assert ("of 108 that replay.share=0.9 asks for" in caplog.text) == (share == 0.9)


def test_the_draw_is_of_seed_and_round_alone():
    draws = [with_replay(OWN, POOL, 0.5, seed, "r")[12:] for seed in ((0, 1), (0, 1), (1, 1), (0, 2))]
    assert draws[0] == draws[1]
    assert draws[0] != draws[2]
    assert draws[0] != draws[3]


def test_replayed_pairs_leave_their_rounds_partner_and_reference_behind():
    assert {(row.source, row.partner, row.reference_chosen_logp) for row in POOL} == {("round_0", "", 0.0)}
    assert POOL[0].key == "round_0/sw/0/0/1" != OWN[0].key


def test_the_first_round_has_nothing_to_replay():
    assert list(ReplayRounds(0.5).rounds(0)) == []
    assert list(ReplayRounds(0.5).rounds(2)) == [0, 1]
    assert with_replay(OWN, ReplayRounds(0.5).pool([], None, None), 0.5, (0,), "round_0") == OWN


@pytest.mark.parametrize("share", [1.0, -0.1, 2])
def test_a_share_is_below_one(share):
    for make in (ReplayRounds, lambda share: ReplayFile("a.jsonl", share)):
        with pytest.raises(ValueError, match=r"^share must be at least 0 and below 1, got"):
            make(share)


def test_english_pairs_of_a_file(tmp_path, caplog):
    caplog.set_level("INFO")
    rows = [
        {"prompt": "Say a.", "chosen": "a", "rejected": "b"},
        {"prompt": "Say b.", "chosen": "b" * 99, "rejected": "b"},
        {"prompt": "Say <|end|>.", "chosen": "b", "rejected": "b"},
        {"prompt": "Sema a.", "chosen": "a", "rejected": "b", "language": "sw"},
    ]
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    replay = ReplayFile(str(file))
    renderer = Loader().renderer(tiny.byte_llama(tmp_path / "model", 0, context=64))
    (only,) = replay.pool([], renderer, 64)
    assert (only.language, only.prompt, only.source, only.key) == ("en", "Say a.", "file", "file/en/0/-1/-1")
    assert "2 of 3 pairs" in caplog.text
    before = replay.content()
    file.write_text(json.dumps(rows[0]) + "\n")
    assert replay.content() != before


def test_kto_has_partners_and_references_for_them(bare_pairs, loaded, shared_model):
    own = bare_pairs(4, languages=["en"])
    pool = ReplayRounds(0.5).pool([[replace(row, reference_chosen_logp=-99.0) for row in own]], None, None)
    made = with_partners(with_replay(own, pool, 0.5, (0,), "round_1"))
    keys = {row.key: row for row in made}
    assert len(keys) == 8
    assert all(keys[row.partner].id != row.id for row in made)
    done = referenced(made, loaded(shared_model(seed=1)), partners=True)
    by_key = {row.key: row for row in done}
    assert KTO.needs_partner
    for row in own:
        again = by_key[f"round_0/{row.key}"]
        # This round's reference, the same for the same tokens, and not the one that it came with.
        assert again.reference_chosen_logp == pytest.approx(by_key[row.key].reference_chosen_logp, abs=1e-4)
