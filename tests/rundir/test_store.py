"""The run directory: what is complete is never redone, what is not is never trusted."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from icr.errors import RunError
from icr.rundir import Key, RunDirectory, Table, atomic, difference
from icr.types import Prompt, ScoredResponse
from tests.rounds.rows import scored

STAGES = ("round_0/responses", "round_0/rewards", "round_0/skipped", "rewards", "skipped", "model", "round_0/model")
TABLE = Table(ScoredResponse)


def keys(**settings) -> dict[str, Key]:
    """Keys of all stages of these tests, with these settings and no others."""
    return {stage: Key({"loss": {"beta": 0.1}, **settings}, {"prompts": "pp"}) for stage in STAGES}


@pytest.fixture
def store(tmp_path: Path) -> RunDirectory:
    """A new run directory."""
    return RunDirectory(tmp_path / "run", keys())


def reopened(store: RunDirectory, **settings) -> RunDirectory:
    """The same directory, by another process."""
    return RunDirectory(store.path, keys(**settings))


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
    assert store.rows("round_0/rewards", TABLE, lambda: rows) == rows
    assert store.json("round_0/skipped", lambda: {"ß": [1, None]}) == {"ß": [1, None]}
    store.folder("round_0/model", saved(lambda path: (path / "weights").write_text("w")))
    stages = json.loads((store.path / "manifest.json").read_text())["stages"]
    again = reopened(store)
    assert again.rows("round_0/rewards", TABLE, never) == rows
    assert again.json("round_0/skipped", never) == {"ß": [1, None]}
    assert (again.folder("round_0/model", never) / "weights").read_text() == "w"
    assert again.manifest["stages"] == stages


def test_the_manifest_names_keys_outputs_and_times(store: RunDirectory):
    store.json("round_0/skipped", dict)
    manifest = json.loads((store.path / "manifest.json").read_text())
    entry = manifest["stages"]["round_0/skipped"]
    assert manifest["format"] == 4
    assert entry["key"] == {"settings": {"loss": {"beta": 0.1}}, "upstream": {"prompts": "pp"}}
    assert entry["output"] == "round_0/skipped.json"
    output = (store.path / entry["output"]).read_bytes()
    digest = hashlib.sha256(output).hexdigest()
    assert entry["files"] == {"round_0/skipped.json": {"bytes": len(output), "sha256": digest}}
    assert entry["seconds"] >= 0
    assert entry["finished"].startswith("20")
    assert store.seconds == {"round_0/skipped": entry["seconds"]}


def test_a_stage_that_failed_leaves_nothing(store: RunDirectory):
    def torn(path: Path) -> None:
        (path / "half").write_text("…")
        raise Killed

    before = files(store.path)
    with pytest.raises(Killed):
        store.folder("model", saved(torn))
    with pytest.raises(Killed):
        store.rows("rewards", TABLE, lambda: (_ for _ in ()).throw(Killed))
    assert files(store.path) == before
    assert not reopened(store).complete("model")


def test_an_output_is_never_seen_half_written(store: RunDirectory, monkeypatch):
    """Killed between writing and moving: the temporary stays, is not taken for the output, and goes away later."""

    def killed(*args):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        patch.setattr(atomic, "remove", lambda path: None)  # a killed process cleans nothing
        with pytest.raises(Killed):
            store.json("skipped", lambda: {"old": 1})
        with pytest.raises(Killed):
            store.folder("model", saved(lambda path: (path / "old").write_text("old")))
    assert (store.path / ".skipped.json.tmp").exists()
    assert not (store.path / "skipped.json").exists()
    again = reopened(store)
    assert not again.complete("skipped")
    assert again.json("skipped", lambda: {"new": 1}) == {"new": 1}
    assert files(again.folder("model", saved(lambda path: (path / "new").write_text("new")))) == {"new"}
    assert not [name for name in files(store.path) if name.endswith(".tmp")]


def test_an_output_that_the_manifest_does_not_name_is_made_again(store: RunDirectory, monkeypatch):
    """Killed after the move and before the manifest."""

    def killed(self):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(RunDirectory, "_save_manifest", killed)
        with pytest.raises(Killed):
            store.folder("model", saved(lambda path: (path / "first").write_text("1")))
    assert (store.path / "model/first").exists()
    again = reopened(store)
    assert not again.complete("model")
    assert files(again.folder("model", saved(lambda path: (path / "second").write_text("2")))) == {"second"}


def test_an_output_that_is_gone_is_made_again(store: RunDirectory):
    store.json("skipped", lambda: 1)
    (store.path / "skipped.json").unlink()
    again = reopened(store)
    assert not again.complete("skipped")
    assert again.json("skipped", lambda: 2) == 2


def prompt(number: int) -> Prompt:
    return Prompt(f"p{number}", "sw", "", "")


PROMPTS = [prompt(number) for number in range(4)]


def recorded(calls: list[str], fail_at: str = ""):
    """Makes two rows per prompt, and says for which."""

    def make(prompts):
        if fail_at in [prompt.id for prompt in prompts]:
            raise Killed
        calls.extend(prompt.id for prompt in prompts)
        return [scored(id=prompt.id, k=k, reward=float(k)) for prompt in prompts for k in range(2)]

    return make


def names(rows) -> list[tuple[str, int]]:
    return [(row.id, row.k) for row in rows]


ALL = [(f"p{number}", k) for number in range(4) for k in range(2)]


def test_finished_parts_are_kept_and_reused(store: RunDirectory):
    calls: list[str] = []
    with pytest.raises(Killed):
        store.rows_by_prompt("rewards", TABLE, PROMPTS, 1, recorded(calls, fail_at="p2"))
    assert calls == ["p0", "p1"]
    rows = reopened(store).rows_by_prompt("rewards", TABLE, PROMPTS, 1, recorded(calls))
    assert calls == ["p0", "p1", "p2", "p3"]
    assert names(rows) == ALL
    assert files(store.path) == {"manifest.json", "rewards.parquet"}
    assert reopened(store).rows_by_prompt("rewards", TABLE, PROMPTS, 1, recorded(calls)) == rows
    assert calls == ["p0", "p1", "p2", "p3"]


@pytest.mark.parametrize(("first", "then"), [(1, 3), (2, 1), (3, 2)])
def test_parts_may_be_cut_otherwise(store: RunDirectory, first: int, then: int):
    """As another number of processes cuts them: every prompt once, none twice."""
    calls: list[str] = []
    with pytest.raises(Killed):
        store.rows_by_prompt("rewards", TABLE, PROMPTS, first, recorded(calls, fail_at="p3"))
    rows = reopened(store).rows_by_prompt("rewards", TABLE, PROMPTS, then, recorded(calls))
    assert sorted(calls) == ["p0", "p1", "p2", "p3"]
    assert names(rows) == ALL


def test_a_part_cut_short_is_made_again(store: RunDirectory):
    calls: list[str] = []
    with pytest.raises(Killed):
        store.rows_by_prompt("rewards", TABLE, PROMPTS, 2, recorded(calls, fail_at="p2"))
    (store.path / "rewards.parts/.00000002.parquet.tmp").write_bytes(b"PAR1 and no more")
    assert names(reopened(store).rows_by_prompt("rewards", TABLE, PROMPTS, 2, recorded(calls))) == ALL
    assert calls == ["p0", "p1", "p2", "p3"]


def test_another_key_is_refused_with_the_difference(store: RunDirectory):
    store.rows("round_0/rewards", TABLE, lambda: [scored()])
    other = {
        "round_0/rewards": Key({"loss": {"beta": 0.2, "alpha": 1.0}}, {"prompts": "qq"}),
        "round_0/model": Key({"loss": {"beta": 0.2}}, {}),
    }
    with pytest.raises(RunError) as refused:
        RunDirectory(store.path, other)
    message = str(refused.value)
    assert str(store.path) in message
    for line in ("loss.beta: 0.1 → 0.2", "loss.alpha: None → 1.0", "prompts: pp → qq"):
        assert f"{line}   (round_0/rewards)" in message
    assert "round_0/model" not in message


def test_a_difference_is_told_once_at_the_stage_that_it_comes_from(store: RunDirectory):
    store.rows("round_0/rewards", TABLE, lambda: [scored()])
    store.json("round_0/skipped", dict)
    with pytest.raises(RunError) as refused:
        reopened(store, seed=1)
    assert str(refused.value).count("seed: None → 1") == 1


def test_what_follows_from_a_difference_is_not_told(store: RunDirectory):
    """A version of an earlier stage differs because that stage does."""

    def chained(seed: int) -> dict[str, Key]:
        first = Key({"seed": seed}, {"prompts": "pp"})
        return {"skipped": first, "rewards": Key({}, {"skipped": first.version, "model": "m"})}

    made = RunDirectory(store.path.with_name("chained"), chained(0))
    made.json("skipped", dict)
    made.rows("rewards", TABLE, lambda: [scored()])
    with pytest.raises(RunError) as refused:
        RunDirectory(made.path, chained(1))
    assert str(refused.value).splitlines()[1:-1] == ["  seed: 0 → 1   (skipped)"]


def test_another_stage_in_the_place_of_one_is_told(store: RunDirectory):
    """Both as they were, but this one is made of the other now."""
    first, second = Key({"seed": 0}, {}), Key({"seed": 1}, {})
    made = {"skipped": first, "model": second, "rewards": Key({}, {"from": first.version})}
    there = RunDirectory(store.path.with_name("replaced"), made)
    for stage in made:
        there.json(stage, dict)
    with pytest.raises(RunError, match=rf"from: {first.version} → {second.version}   \(rewards\)"):
        RunDirectory(there.path, made | {"rewards": Key({}, {"from": second.version})})


def test_work_that_was_begun_under_another_key_is_refused(store: RunDirectory):
    store.work_folder("round_0/model", store.layout.round(0).checkpoints)
    assert reopened(store)
    with pytest.raises(RunError, match=r"seed: None → 1   \(round_0/model\)"):
        reopened(store, seed=1)


def test_work_that_was_begun_by_others_is_refused(store: RunDirectory):
    store.work_folder("round_0/model", store.layout.round(0).checkpoints, {"processes": 2})
    with pytest.raises(RunError, match=r"begun otherwise \(processes: 2 → 3\).* remove .*round_0/checkpoints"):
        reopened(store).work_folder("round_0/model", store.layout.round(0).checkpoints, {"processes": 3})
    reopened(store).work_folder("round_0/model", store.layout.round(0).checkpoints, {"processes": 2})
    store.layout.round(0).checkpoints.rmdir()  # as the message says
    reopened(store).work_folder("round_0/model", store.layout.round(0).checkpoints, {"processes": 3})


def test_nothing_is_refused_before_anything_is_made(store: RunDirectory):
    """A run that stopped at a mistyped model folder may be put right in place; stages that are still to come, too."""
    store.json("skipped", dict)
    more = keys() | {"round_1/model": Key({"seed": 1}, {})}
    assert RunDirectory(store.path, more).complete("skipped")
    assert RunDirectory(store.path, {"round_1/model": Key({"seed": 2}, {})})


def test_a_directory_of_an_earlier_version_is_refused(store: RunDirectory):
    (store.path / "manifest.json").write_text('{"settings": {"seed": 0}, "stages": {}}')
    with pytest.raises(RunError, match=r"run of an earlier version of icr.* give another run\.dir"):
        reopened(store)


def test_differences_of_nested_values():
    assert difference({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}, "d": None}) == ["a.c: 2 → 3"]
    assert difference({"a": [1, 2]}, {"a": [1]}) == ["a: [1, 2] → [1]"]


def test_a_version_is_of_settings_and_upstream():
    key = Key({"seed": 0}, {"prompts": "pp"})
    assert key.version == Key({"seed": 0}, {"prompts": "pp"}).version
    assert (
        len({key.version, Key({"seed": 1}, {"prompts": "pp"}).version, Key({"seed": 0}, {"prompts": "qq"}).version})
        == 3
    )
