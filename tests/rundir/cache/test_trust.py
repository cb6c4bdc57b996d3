"""What looks the same and is not: nothing of it may be taken."""

from __future__ import annotations

import functools
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from icr.rundir import Key, RunDirectory, Table, content
from icr.rundir.cache import origin as origins
from icr.rundir.cache.origin import Origin, foreign_classes
from icr.rundir.cache.rows import MadeOf
from icr.rundir.cache.stages import StageCache
from icr.rundir.key import Rows
from icr.types import Prompt

HERE = Origin({"icr": "1"}, frozenset({"Mine"}))
PROMPT = Prompt(id="0", language="sw", text="swali", english="question")


@dataclass(frozen=True)
class Row:
    """A reward in miniature."""

    id: str
    language: str
    k: int
    reward: str


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def chain(path: Path, cache: Path, rewards: str) -> str:
    """A round whose rewards are of a user's class, which may change; returns what its pairs are made of."""
    found = {"round_0/rewards": Key({"reward": {"class": "Mine"}}, {"policy": "p"})}
    for stage, before in {"skipped": "rewards", "length_control": "rewards", "pairs": "skipped"}.items():
        own = {"loss": {"class": "DPO"}} if stage == "pairs" else {"pairing": {"class": "BestWorst"}}
        found[f"round_0/{stage}"] = Key(own, {before: found[f"round_0/{before}"].version})
    store = RunDirectory(path, found, HERE, StageCache(cache, HERE))
    store.json("round_0/rewards", lambda: rewards)
    store.json("round_0/skipped", dict)
    store.json("round_0/length_control", dict)
    return store.json("round_0/pairs", lambda: f"made of {rewards}")


def test_pairs_of_other_rewards_are_not_taken_where_all_between_is_alike(tmp_path, cache):
    """No prompt is skipped and no length penalised, before as after a change of the reward's code."""
    assert chain(tmp_path / "a", cache, "the old ones") == "made of the old ones"
    assert chain(tmp_path / "b", cache, "the new ones") == "made of the new ones"


def rewarded(path: Path, cache: Path | None, responses: list[str], name: str = "table") -> list[str]:
    """Rewards of responses, of which they are made row by row."""
    key = Key({"table": name}, {"policy": "p"}, Rows(Key({}, {"policy": "p"}), len(responses)))
    store = RunDirectory(path, {"round_0/rewards": key}, HERE, StageCache(cache, HERE) if cache else None)
    of: MadeOf = {("0", "sw"): responses}

    def make(some):
        return [Row("0", "sw", k, f"of {text}") for k, text in enumerate(responses)]

    return [row.reward for row in store.rows_by_prompt("round_0/rewards", Table(Row), [PROMPT], 1, make, of)]


def test_rows_of_a_run_that_was_done_before_do_not_stand_for_those_in_the_cache(tmp_path, cache):
    """A run of another machine goes on here: its rewards are complete, and are not what the cache has by their key."""
    rewarded(tmp_path / "elsewhere", None, ["x", "y"])
    rewarded(tmp_path / "a", cache, ["good", "bad"])
    assert rewarded(tmp_path / "elsewhere", cache, ["x", "y"]) == ["of x", "of y"]
    assert rewarded(tmp_path / "b", cache, ["x"], "fewer") == ["of x"]
    assert rewarded(tmp_path / "c", cache, ["good"], "fewer of the cache") == ["of good"]


def test_an_adapter_is_taken_only_where_its_base_is_still_there(tmp_path, cache):
    """It names the folder of the run that has made it, which another run's key does not know."""
    (tmp_path / "base").mkdir()
    (tmp_path / "base/config.json").write_text("{}")
    made: list[str] = []

    def adapter(name: str) -> None:
        def save(folder: Path) -> None:
            made.append(name)
            (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": f"{tmp_path}/base"}))

        store = RunDirectory(tmp_path / name, {"round_0/model": Key({}, {})}, HERE, StageCache(cache, HERE))
        store.folder("round_0/model", lambda: SimpleNamespace(save=save))

    adapter("a")
    adapter("b")
    shutil.rmtree(tmp_path / "base")
    adapter("c")
    assert made == ["a", "c"]


def make_optimizer(weights, lr=1.0):
    """A user's function, in a file that may change."""


def test_a_users_function_is_foreign_too():
    assert foreign_classes({"optim": functools.partial(make_optimizer, lr=1)}) == {"make_optimizer"}


def test_an_adapter_on_a_model_without_revision_is_not_vouched_for():
    assert not HERE.vouches_for(Key({}, {"policy": "hub:a/adapter@1f2e on hub:a/base"}))
    assert HERE.vouches_for(Key({}, {"policy": "hub:a/adapter@1f2e on hub:a/base@77aa"}))


def test_versions_of_what_numbers_are_made_with_count(monkeypatch):
    """Optimisers, adapters, engines and the language check have packages of their own."""
    before = origins.environment("cpu")
    for name in ("peft", "py3langid"):
        monkeypatch.setattr(
            origins, "version", lambda asked, name=name: "9" if asked == name else before.get(asked, "0")
        )
        assert origins.environment("cpu") != before


def test_what_is_removed_while_it_is_taken_is_made(tmp_path, cache, monkeypatch):
    """Somebody prunes just after the stage was looked through."""
    chain(tmp_path / "a", cache, "these")
    whole = StageCache.whole

    def removed(self, found):
        good = whole(self, found)
        shutil.rmtree(found.folder)
        return good

    monkeypatch.setattr(StageCache, "whole", removed)
    assert chain(tmp_path / "b", cache, "these") == "made of these"


def test_a_full_disk_under_the_cache_ends_no_run(tmp_path, cache, monkeypatch):
    chain(tmp_path / "a", cache, "these")
    (cache / "claims").rename(cache / "gone")
    (cache / "claims").touch()  # No claim can be written.
    key = {"round_0/skipped": Key({"new": 1}, {})}
    assert RunDirectory(tmp_path / "b", key, HERE, StageCache(cache, HERE)).json("round_0/skipped", lambda: 1) == 1
    assert content.of_output(tmp_path / "b", tmp_path / "b/round_0/skipped.json")
