"""What is damaged is named and never believed; what is gone is made again, and what was made from it if it differs."""

from __future__ import annotations

import json
import logging
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from icr.errors import RunError
from icr.rundir import Key, RunDirectory, Table, atomic, content, open_run, sealed
from icr.rundir.layout import round_stages
from icr.types import Prompt, ScoredResponse
from tests.rounds.rows import scored

STAGES = round_stages(0)
RESPONSES = Key({"seed": 0}, {})
REWARDS = Key({}, {"responses": RESPONSES.version})
MODEL = Key({}, {"rewards": REWARDS.version})
KEYS = {
    STAGES.responses: RESPONSES,
    STAGES.rewards: REWARDS,
    STAGES.model: MODEL,
    "evaluation/M0": Key({}, {"model": MODEL.version}),
    "evaluation/sft": Key({}, {"model": "from elsewhere"}),
}
TABLE = Table(ScoredResponse)
PROMPTS = [Prompt(f"p{number}", "sw", "", "") for number in range(4)]


class Run:
    """A run of few stages, which says what it makes.

    Attributes:
        reward: of the responses; another one is what another machine would find.
        made: the stages that were made.
    """

    def __init__(self, path: Path):
        self.path, self.reward, self.made = path, 1.0, []

    def __call__(self) -> RunDirectory:
        """The same command again: everything is looked at, and made where it is not there."""
        content._digest.cache_clear()  # as by another process
        store = RunDirectory(self.path, KEYS)
        store.verify()
        for stage in (STAGES.responses, STAGES.rewards):
            store.rows(stage, TABLE, lambda stage=stage: self.table(stage))
        store.folder(STAGES.model, lambda: self.model())
        for stage in ("evaluation/M0", "evaluation/sft"):
            store.json(stage, lambda stage=stage: self.made.append(stage) or [self.reward])
        store.keep(store.layout.config, lambda path: path.write_text("seed: 0"))
        return store

    def table(self, stage: str) -> list[ScoredResponse]:
        self.made.append(stage)
        return [scored(reward=self.reward)]

    def model(self) -> SimpleNamespace:
        self.made.append(STAGES.model)
        return SimpleNamespace(save=self.save)

    def save(self, folder: Path) -> None:
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(bytes(64))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A finished run."""
    run = Run(tmp_path / "run")
    run()
    run.made = []
    return run


def flip(path: Path) -> None:
    """Turn one bit in the middle, and leave size and time as they were."""
    found, times = bytearray(path.read_bytes()), path.stat()
    found[len(found) // 2] ^= 1
    path.write_bytes(found)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


DAMAGES = {
    "emptied": lambda path: path.write_bytes(b""),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-7]),
    "one bit": flip,
}
OUTPUTS = ["round_0/responses.parquet", "round_0/rewards.parquet", "round_0/model/model.safetensors"]


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("output", OUTPUTS)
def test_a_damaged_output_is_named_with_what_to_do(run: Run, output: str, damage):
    damage(run.path / output)
    place = run.path / ("round_0/model" if "model" in output else output)
    with pytest.raises(RunError, match=f"^{run.path / output} is damaged: .* delete {place}, and the same icr run"):
        run()
    assert run.made == []
    atomic.remove(place)
    run()
    assert run.made == [output.partition(".")[0] if "model" not in output else "round_0/model"]


def test_a_file_that_is_missing_from_a_model_is_named(run: Run):
    (run.path / "round_0/model/config.json").unlink()
    with pytest.raises(RunError, match=r"model/config\.json is missing\. It belongs to the stage round_0/model"):
        run()


def test_what_comes_out_as_it_was_leaves_later_stages(run: Run):
    (run.path / "round_0/responses.parquet").unlink()
    run()
    assert run.made == [STAGES.responses]


def test_what_comes_out_otherwise_takes_later_stages_with_it(run: Run, caplog):
    (run.path / "round_0/responses.parquet").unlink()
    unfinished = RunDirectory(run.path, KEYS | {"round_1/model": Key({}, {"start": MODEL.version})})
    unfinished.work_folder("round_1/model", unfinished.layout.round(1).checkpoints)
    run.reward = 2.0
    with caplog.at_level(logging.WARNING):
        run()
    assert "round_0/responses was made again and is not what it was" in caplog.text
    assert run.made == [STAGES.responses, STAGES.rewards, STAGES.model, "evaluation/M0"]
    assert not list(run.path.glob("round_1/checkpoints*"))
    run.made = []
    assert run().rows(STAGES.rewards, TABLE, list) == [scored(reward=2.0)]
    assert run.made == []


@pytest.mark.parametrize("call", range(2))
def test_a_kill_while_something_lost_is_made_again_forgets_nothing(run: Run, monkeypatch, call: int):
    """Before the output is in place, and before the manifest says so."""

    class Killed(BaseException):
        pass

    def kill(*args):
        raise Killed

    (run.path / "round_0/responses.parquet").unlink()
    run.reward = 2.0
    with monkeypatch.context() as patch:
        patch.setattr(*((Table, "write"), (RunDirectory, "_discard_after"))[call], kill)
        with pytest.raises(Killed):
            run()
    run()
    assert [scored(reward=2.0)] == run().rows(STAGES.rewards, TABLE, list)
    assert set(run.made) == {STAGES.responses, STAGES.rewards, STAGES.model, "evaluation/M0"}


def test_a_lost_output_still_has_its_key(run: Run):
    (run.path / "round_0/responses.parquet").unlink()
    RunDirectory(run.path, KEYS).verify()
    with pytest.raises(RunError, match=r"seed: 0 → 1   \(round_0/responses\)"):
        RunDirectory(run.path, KEYS | {STAGES.responses: Key({"seed": 1}, {})})


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_manifest_is_named_with_what_to_do(run: Run, damage):
    damage(run.path / "manifest.json")
    for reading in (run, lambda: open_run(run.path)):
        with pytest.raises(RunError, match=r"manifest\.json is damaged \(.*delete .*, and the same icr run command"):
            reading()
    (run.path / "manifest.json").unlink()
    run()
    assert run.made == list(KEYS)


@pytest.mark.parametrize("name", ["/etc/passwd", "../other", "round_0/../../other"])
def test_a_manifest_names_nothing_elsewhere(run: Run, name: str):
    found = json.loads((run.path / "manifest.json").read_text())
    found["stages"][STAGES.model]["output"] = name
    sealed.write(run.path / "manifest.json", {key: value for key, value in found.items() if key != "seal"})
    with pytest.raises(RunError, match="which is not in the directory"):
        run()


def begun(path: Path, upto: int = 3) -> RunDirectory:
    """A run whose rewards were cut short after some parts of one prompt each."""
    store = RunDirectory(path, KEYS)
    with pytest.raises(ZeroDivisionError):
        store.rows_by_prompt(STAGES.rewards, TABLE, PROMPTS, 1, lambda prompts: rewards(prompts, upto))
    return RunDirectory(path, KEYS)


def rewards(prompts: list[Prompt], upto: int = 4) -> list[ScoredResponse]:
    number = int(prompts[0].id[1:])
    return [scored(id=prompts[0].id, reward=float(number))] if number < upto else [1 // 0]


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_part_is_made_again(tmp_path: Path, caplog, damage):
    store = begun(tmp_path)
    part = sorted(tmp_path.glob("round_0/rewards.parts/*.parquet"))[1]
    damage(part)
    made: list[str] = []
    again = store.rows_by_prompt(
        STAGES.rewards, TABLE, PROMPTS, 1, lambda prompts: made.append(prompts[0].id) or rewards(prompts)
    )
    assert made == ["p1", "p3"]
    assert again == [scored(id=f"p{number}", reward=float(number)) for number in range(4)]
    assert "rewards.parts: 1 damaged parts are removed, and made again" in caplog.text


@pytest.mark.parametrize("damage", [*DAMAGES.values(), Path.unlink], ids=[*DAMAGES, "deleted"])
def test_work_without_its_mark_is_begun_anew(tmp_path: Path, caplog, damage):
    store = begun(tmp_path)
    damage(tmp_path / "round_0/rewards.parts.begun.json")
    store = RunDirectory(tmp_path, KEYS)
    made: list[str] = []
    store.rows_by_prompt(
        STAGES.rewards, TABLE, PROMPTS, 1, lambda prompts: made.append(prompts[0].id) or rewards(prompts)
    )
    assert made == ["p0", "p1", "p2", "p3"]
    assert "begun anew" in caplog.text


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("name", ["round_0/responses.parquet", "config.yaml"])
def test_a_reader_names_what_is_damaged(run: Run, name: str, damage):
    damage(run.path / name)
    content._digest.cache_clear()
    with pytest.raises(RunError, match=rf"{name} is damaged: .*elete .*and the same icr run command"):
        open_run(run.path)
    (run.path / name).unlink()
    assert open_run(run.path).trained == [0]


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_model_is_named_when_it_is_used(run: Run, damage):
    damage(run.path / "round_0/model/model.safetensors")
    found = open_run(run.path)
    with pytest.raises(RunError, match=r"model\.safetensors is damaged"):
        found.model(0)


def test_a_file_is_read_once_unless_it_changes(run: Run, monkeypatch):
    run()
    with monkeypatch.context() as patch:
        patch.setattr(content.hashlib, "file_digest", lambda *_: pytest.fail("was read again"))
        RunDirectory(run.path, KEYS).verify()
    flip(run.path / OUTPUTS[2])
    with pytest.raises(RunError, match="its content is not what was written"):
        RunDirectory(run.path, KEYS).verify()


def test_content_is_on_the_disk_before_the_name_is(tmp_path: Path, monkeypatch):
    """Files, then the folders that they lie in, then the move, then the folder that has the name."""
    calls: list[str] = []
    synced, replaced = os.fsync, os.replace

    def fsync(opened: int) -> None:
        calls.append(Path(os.readlink(f"/proc/self/fd/{opened}")).name)
        synced(opened)

    def replace(source: Path, target: Path) -> None:
        calls.append(f"→ {target.name}")
        replaced(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    atomic.replace(tmp_path / "new/model", lambda path: shutil.copytree(made_folder(tmp_path), path))
    assert calls == [tmp_path.name, "weights", ".model.tmp", "→ model", "new"]


def made_folder(path: Path) -> Path:
    (path / "made").mkdir()
    (path / "made/weights").touch()
    return path / "made"
