"""The run directory: what is complete is never redone, what is not is never trusted."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from icr.errors import RunError
from icr.rundir import store as store_module
from icr.rundir.store import RunDirectory, difference
from icr.rundir.tables import Table
from icr.types import ScoredResponse
from tests.rounds.rows import scored

SETTINGS = {"seed": 0, "loss": {"beta": 0.1, "alpha": 1.0}, "langs": ["en", "sw"], "slope": float("inf")}
TABLE = Table(ScoredResponse)


@pytest.fixture
def store(tmp_path: Path) -> RunDirectory:
    """A new run directory."""
    return RunDirectory(tmp_path / "run", SETTINGS)


def reopened(store: RunDirectory) -> RunDirectory:
    """The same directory, by another process."""
    return RunDirectory(store.path, SETTINGS)


def saved(write: Callable[[Path], object]) -> Callable[[], SimpleNamespace]:
    """Makes what `write` saves."""
    return lambda: SimpleNamespace(save=write)


def never():
    """What must not be called."""
    raise AssertionError("a complete stage was made again")


class Killed(BaseException):
    """As near to SIGKILL as one process can show: nothing that catches `Exception` sees it."""


def files(folder: Path) -> set[str]:
    """Everything in a folder, hidden files too."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_a_complete_stage_is_read_back(store: RunDirectory):
    rows = [scored(k=0, reward=0.25), scored(k=1, reward=-1.5)]
    assert store.rows("round_0/rewards", TABLE, {"a": 1}, lambda: rows) == rows
    assert store.json("round_0/skipped", {"a": 1}, lambda: {"ß": [1, None]}) == {"ß": [1, None]}
    store.folder("round_0/model", {"a": 1}, saved(lambda path: (path / "weights").write_text("w")))
    stages = json.loads((store.path / "manifest.json").read_text())["stages"]
    again = reopened(store)
    assert again.rows("round_0/rewards", TABLE, {"a": 1}, never) == rows
    assert again.json("round_0/skipped", {"a": 1}, never) == {"ß": [1, None]}
    assert (again.folder("round_0/model", {"a": 1}, never) / "weights").read_text() == "w"
    assert again.manifest["stages"] == stages


def test_the_manifest_names_inputs_outputs_and_times(store: RunDirectory):
    store.json("round_0/skipped", {"rewards": "abc", "pairing": {"class": "BestWorst"}}, dict)
    entry = json.loads((store.path / "manifest.json").read_text())["stages"]["round_0/skipped"]
    assert entry["inputs"] == {"rewards": "abc", "pairing": {"class": "BestWorst"}}
    assert entry["output"] == "round_0/skipped.json"
    assert entry["seconds"] >= 0
    assert entry["finished"].startswith("20")
    assert store.seconds == {"round_0/skipped": entry["seconds"]}


def test_a_stage_that_failed_leaves_nothing(store: RunDirectory):
    def torn(path: Path) -> None:
        (path / "half").write_text("…")
        raise Killed

    before = files(store.path)
    with pytest.raises(Killed):
        store.folder("model", {}, saved(torn))
    with pytest.raises(Killed):
        store.rows("rewards", TABLE, {}, lambda: (_ for _ in ()).throw(Killed))
    assert files(store.path) == before
    assert not reopened(store).complete("model")


def test_an_output_is_never_seen_half_written(store: RunDirectory, monkeypatch):
    """Killed between writing and moving: the temporary stays, is not taken for the output, and goes away later."""

    def killed(*args):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        patch.setattr(store_module, "_remove", lambda path: None)  # a killed process cleans nothing
        with pytest.raises(Killed):
            store.json("skipped", {}, lambda: {"old": 1})
        with pytest.raises(Killed):
            store.folder("model", {}, saved(lambda path: (path / "old").write_text("old")))
    assert (store.path / ".skipped.json.tmp").exists()
    assert not (store.path / "skipped.json").exists()
    again = reopened(store)
    assert not again.complete("skipped")
    assert again.json("skipped", {}, lambda: {"new": 1}) == {"new": 1}
    assert files(again.folder("model", {}, saved(lambda path: (path / "new").write_text("new")))) == {"new"}
    assert not [name for name in files(store.path) if name.endswith(".tmp")]


def test_an_output_that_the_manifest_does_not_name_is_made_again(store: RunDirectory, monkeypatch):
    """Killed after the move and before the manifest."""

    def killed(self):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(RunDirectory, "_save_manifest", killed)
        with pytest.raises(Killed):
            store.folder("model", {}, saved(lambda path: (path / "first").write_text("1")))
    assert (store.path / "model/first").exists()
    again = reopened(store)
    assert not again.complete("model")
    assert files(again.folder("model", {}, saved(lambda path: (path / "second").write_text("2")))) == {"second"}


def test_an_output_that_is_gone_is_made_again(store: RunDirectory):
    store.json("skipped", {}, lambda: 1)
    (store.path / "skipped.json").unlink()
    again = reopened(store)
    assert not again.complete("skipped")
    assert again.json("skipped", {}, lambda: 2) == 2


def parts_of(calls: list[int], count: int, fail_at: int | None = None):
    """`count` parts of a row each, which say when they are made."""

    def part(number: int):
        if number == fail_at:
            raise Killed
        calls.append(number)
        return [scored(k=number, reward=float(number))]

    return [lambda number=number: part(number) for number in range(count)]


def test_finished_parts_are_kept_and_reused(store: RunDirectory):
    calls: list[int] = []
    with pytest.raises(Killed):
        store.rows_in_parts("rewards", TABLE, {"a": 1}, parts_of(calls, 4, fail_at=2))
    assert calls == [0, 1]
    rows = reopened(store).rows_in_parts("rewards", TABLE, {"a": 1}, parts_of(calls, 4))
    assert calls == [0, 1, 2, 3]
    assert [row.k for row in rows] == [0, 1, 2, 3]
    assert files(store.path) == {"manifest.json", "rewards.parquet"}
    assert reopened(store).rows_in_parts("rewards", TABLE, {"a": 1}, parts_of(calls, 4)) == rows
    assert calls == [0, 1, 2, 3]


@pytest.mark.parametrize(("inputs", "count"), [({"a": 2}, 4), ({"a": 1}, 3)], ids=["inputs", "cut otherwise"])
def test_stale_parts_are_thrown_away(store: RunDirectory, inputs: dict, count: int):
    calls: list[int] = []
    with pytest.raises(Killed):
        store.rows_in_parts("rewards", TABLE, {"a": 1}, parts_of(calls, 4, fail_at=3))
    rows = reopened(store).rows_in_parts("rewards", TABLE, inputs, parts_of(calls, count))
    assert calls == [0, 1, 2, *range(count)]
    assert len(rows) == count


def test_a_part_cut_short_is_made_again(store: RunDirectory):
    calls: list[int] = []
    with pytest.raises(Killed):
        store.rows_in_parts("rewards", TABLE, {}, parts_of(calls, 2, fail_at=1))
    (store.path / "rewards.parts/.00001.parquet.tmp").write_bytes(b"PAR1 and no more")
    assert len(reopened(store).rows_in_parts("rewards", TABLE, {}, parts_of(calls, 2))) == 2
    assert calls == [0, 1]


def test_changed_inputs_are_refused_with_their_names(store: RunDirectory):
    store.rows("round_0/responses", TABLE, {"policy": "aa", "seed": [0, 0], "prompts": "pp"}, lambda: [scored()])
    with pytest.raises(RunError) as refused:
        reopened(store).rows("round_0/responses", TABLE, {"policy": "bb", "seed": [0, 0], "prompts": "qq"}, never)
    message = str(refused.value)
    assert "round_0/responses was made from other inputs" in message
    assert "policy: aa → bb" in message
    assert "prompts: pp → qq" in message
    assert "seed" not in message


def test_nothing_is_refused_before_anything_is_made(store: RunDirectory):
    """A run that stopped at a mistyped model folder may be put right in place."""
    again = RunDirectory(store.path, SETTINGS | {"seed": 1})
    assert again.manifest["settings"]["seed"] == 1


def test_other_settings_are_refused_with_the_difference(store: RunDirectory):
    store.json("made", {}, lambda: 1)
    other = {"seed": 1, "loss": {"beta": 0.1, "alpha": 0.5, "label_smoothing": 0.1}, "langs": ["en"], "slope": 10.0}
    with pytest.raises(RunError) as refused:
        RunDirectory(store.path, other)
    message = str(refused.value)
    assert str(store.path) in message
    for line in (
        "seed: 0 → 1",
        "loss.alpha: 1.0 → 0.5",
        "loss.label_smoothing: None → 0.1",
        "langs: ['en', 'sw'] → ['en']",
        "slope: inf → 10.0",
    ):
        assert line in message
    assert "loss.beta" not in message
    assert RunDirectory(store.path, SETTINGS).manifest["settings"]["seed"] == 0


def test_difference_is_of_leaves():
    assert difference({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}) == ["a.c: 2 → 3"]
    assert difference({"a": {"b": 1}}, {"a": None}) == ["a: {'b': 1} → None"]
    assert difference({}, {}) == []


def test_versions_follow_inputs(store: RunDirectory):
    store.json("one", {"a": 1}, lambda: "x")
    store.json("two", {"a": 2}, lambda: "x")
    assert store.version("one") == reopened(store).version("one") != store.version("two")
