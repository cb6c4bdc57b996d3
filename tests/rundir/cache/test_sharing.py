"""Runs that share stages: what is taken, what is not, and who makes it when two want it."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from icr.cache import contents
from icr.errors import ConfigError
from icr.rundir import Key, RunDirectory, Table
from icr.rundir.cache import claims
from icr.rundir.cache.claims import Claim
from icr.rundir.cache.origin import Origin, foreign_classes
from icr.rundir.cache.stages import StageCache
from icr.rundir.key import Rows
from icr.types import Prompt

HERE = Origin({"icr": "1", "device": "cpu"})
PROMPTS = [Prompt(id=str(i), language="sw", text=f"swali {i}", english=f"question {i}") for i in range(6)]


@dataclass(frozen=True)
class Row:
    """A response in miniature."""

    id: str
    language: str
    k: int
    text: str


def keys(temperature: float = 1.0, n: int = 3, prompts: int = 6, loss: float = 0.0) -> dict[str, Key]:
    """Two stages of a run: responses, and a document made of them."""
    base = Key({"temperature": temperature}, {"policy": "p"})
    responses = Key({"temperature": temperature, "n": n}, {"policy": "p", "prompts": str(prompts)}, Rows(base, n))
    return {"round_0/responses": responses, "round_0/skipped": Key({"loss": loss}, {"responses": responses.version})}


def run(path: Path, cache: Path | None, origin: Origin = HERE, n: int = 3, prompts: int = 6, **settings: float):
    """A run of both stages: its rows, its document, and the prompts that rows were made of."""
    store = RunDirectory(
        path, keys(n=n, prompts=prompts, **settings), origin, StageCache(cache, origin) if cache else None
    )
    made: list[str] = []

    def make(some):
        made.extend(prompt.id for prompt in some)
        return [Row(p.id, p.language, k, f"{p.text} {k}") for p in some for k in range(n)]

    rows = store.rows_by_prompt("round_0/responses", Table(Row), PROMPTS[:prompts], 2, make)
    document = store.json("round_0/skipped", lambda: {"rows": len(rows)})
    return rows, document, made


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_a_second_run_makes_nothing(tmp_path, cache):
    first = run(tmp_path / "a", cache)
    again = run(tmp_path / "b", cache)
    assert first[2]
    assert again == (first[0], first[1], [])
    entry = json.loads((tmp_path / "b/manifest.json").read_text())["stages"]["round_0/responses"]
    assert entry["shared"]
    assert entry["environment"] == HERE.environment


def test_only_what_differs_is_made(tmp_path, cache):
    run(tmp_path / "a", cache)
    rows, document, made = run(tmp_path / "b", cache, loss=1.0)
    assert not made
    assert document == {"rows": len(rows)}
    assert "shared" not in json.loads((tmp_path / "b/manifest.json").read_text())["stages"]["round_0/skipped"]


@pytest.mark.parametrize("changed", [{"temperature": 0.5}, {"origin": Origin({"icr": "2", "device": "cpu"})}])
def test_another_setting_or_environment_is_made_anew(tmp_path, cache, changed):
    run(tmp_path / "a", cache)
    assert len(run(tmp_path / "b", cache, **changed)[2]) == 6


@pytest.mark.parametrize(
    ("fewer", "made"), [({"n": 2}, 0), ({"prompts": 4}, 0), ({"n": 2, "prompts": 3}, 0), ({"n": 4}, 6)]
)
def test_fewer_prompts_and_responses_are_a_part_of_more(tmp_path, cache, fewer, made):
    run(tmp_path / "a", cache)
    rows, _, again = run(tmp_path / "b", cache, **fewer)
    assert rows == run(tmp_path / "alone", None, **fewer)[0]
    assert len(again) == made


def test_more_prompts_make_the_new_ones(tmp_path, cache):
    run(tmp_path / "a", cache, prompts=4)
    rows, _, made = run(tmp_path / "b", cache)
    assert rows == run(tmp_path / "alone", None)[0]
    assert made == ["4", "5"]


def test_rows_of_other_responses_are_not_taken(tmp_path, cache):
    """A reward belongs to a response, not to its place."""
    made = []

    def rewarded(name: str, texts: list[str]) -> None:
        key = Key({"run": name}, {}, Rows(Key({}, {}), len(texts)))
        store = RunDirectory(tmp_path / name, {"round_0/rewards": key}, HERE, StageCache(cache, HERE))

        def make(some):
            made.append(name)
            return [Row(p.id, p.language, k, text) for p in some for k, text in enumerate(texts)]

        of = {(p.id, p.language): texts for p in PROMPTS}
        store.rows_by_prompt("round_0/rewards", Table(Row), PROMPTS, 6, make, of)

    for name, texts in {"first": ["good", "bad"], "other": ["bad", "good"], "part": ["good"]}.items():
        rewarded(name, texts)
    assert made == ["first", "other"]


def test_a_damaged_stage_is_made_again(tmp_path, cache, caplog):
    run(tmp_path / "a", cache)
    (output,) = list(cache.glob("stages/*/*/output.parquet"))
    text = output.read_bytes()
    output.unlink()  # Its links have the content still.
    output.write_bytes(text[:-1] + b"?")
    rows, _, made = run(tmp_path / "b", cache)
    assert len(made) == 6
    assert rows == run(tmp_path / "a", cache)[0]
    assert "is damaged" in caplog.text


def test_an_emptied_cache_takes_nothing_from_a_run(tmp_path, cache):
    run(tmp_path / "a", cache)
    first = run(tmp_path / "b", cache)
    contents.prune(cache, contents.listed(cache))
    assert not contents.listed(cache)
    assert run(tmp_path / "b", None) == first


def test_a_finished_run_can_be_added(tmp_path, cache):
    key = keys()["round_0/skipped"]
    RunDirectory(tmp_path / "a", {"round_0/skipped": key}, HERE).json("round_0/skipped", lambda: {"rows": 1})
    assert contents.add(cache, tmp_path / "a") == (1, 0)
    again = RunDirectory(tmp_path / "b", {"round_0/skipped": key}, HERE, StageCache(cache, HERE))
    assert again.json("round_0/skipped", lambda: pytest.fail("made again")) == {"rows": 1}


def test_what_has_no_origin_is_not_added(tmp_path, cache):
    store = RunDirectory(tmp_path / "a", keys())
    store.json("round_0/skipped", dict)
    assert contents.add(cache, tmp_path / "a") == (0, 1)


def test_old_and_surplus_stages_are_pruned(tmp_path, cache):
    run(tmp_path / "a", cache)
    for one in contents.listed(cache):
        os.utime(one.shared.folder / "entry.json", (0, 0))
    run(tmp_path / "b", cache, temperature=2.0)
    found = contents.listed(cache)
    assert len(found) == 4
    assert contents.to_prune(found, 86400, None) == found[2:]
    assert contents.to_prune(found, None, sum(one.bytes for one in found[:3])) == found[3:]


@pytest.mark.parametrize(("text", "is_"), [("12h", 43200), ("1.5G", 1.5e9)])
def test_ages_and_sizes(text, is_):
    assert contents.amount(text) == is_


def test_another_amount_is_refused():
    with pytest.raises(ConfigError, match="'3 apples' is no age"):
        contents.amount("3 apples")


class Mine:
    """A user's class, in a file that may change."""


def test_stages_of_a_users_own_class_are_not_shared(cache):
    origin = Origin({}, foreign_classes({"pairing": Mine(), "loss": [HERE]}))
    assert origin.foreign == {"Mine"}
    assert not StageCache(cache, origin).takes(Key({"pairing": {"class": "Mine"}}, {}))
    assert StageCache(cache, origin).takes(Key({"pairing": {"class": "BestWorst"}}, {}))
    assert not StageCache(cache, HERE).takes(Key({}, {"policy": "hub:someone/model"}))
    assert StageCache(cache, HERE).takes(Key({}, {"policy": "hub:someone/model@a1b2"}))


def _work(path: Path, cache: Path, log: Path, begun: Path, seconds: float) -> None:
    store = RunDirectory(path, keys(), HERE, StageCache(cache, HERE))

    def make(some):
        begun.touch()
        time.sleep(seconds)
        with log.open("a") as stream:
            stream.write(f"{path.name}\n")
        return [Row(p.id, p.language, k, p.text) for p in some for k in range(3)]

    store.rows_by_prompt("round_0/responses", Table(Row), PROMPTS, 6, make)


def _start(*arguments) -> multiprocessing.Process:
    process = multiprocessing.get_context("fork").Process(target=_work, args=arguments)
    process.start()
    return process


def test_two_at_once_make_it_once(tmp_path, cache):
    log = tmp_path / "log"
    both = [_start(tmp_path / name, cache, log, tmp_path / name / "begun", 0.5) for name in ("a", "b")]
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    assert len(log.read_text().splitlines()) == 1


def test_a_killed_holder_is_taken_over(tmp_path, cache):
    log, begun = tmp_path / "log", tmp_path / "begun"
    held = _start(tmp_path / "a", cache, log, begun, 60)
    while not begun.exists():
        time.sleep(0.02)
    waiting = _start(tmp_path / "b", cache, log, tmp_path / "b begun", 0)
    time.sleep(0.3)
    assert not (tmp_path / "b begun").exists()
    os.kill(held.pid, signal.SIGKILL)
    held.join()
    waiting.join()
    assert waiting.exitcode == 0
    assert log.read_text() == "b\n"


def test_a_holder_on_another_host_has_a_lease(tmp_path, monkeypatch):
    claim = Claim(tmp_path / "x", tmp_path)
    assert claim.acquire(0)
    monkeypatch.setattr(claims.socket, "gethostname", lambda: "elsewhere")
    claim._sign()
    claim._lock.release()
    monkeypatch.undo()
    other = Claim(tmp_path / "x", tmp_path)
    assert not other.acquire(0)
    assert "on elsewhere" in other.holder()
    claim._done.set()
    os.utime(tmp_path / "x.json", (0, 0))
    assert other.acquire(0)
    other.release()


def test_a_cache_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"cache\.dir=null"):
        StageCache(tmp_path / "file/cache", HERE)
