"""Corruption: every file of a run × every way to spoil it is noticed and named, or made again, or harmless.

`ICR_FAULTS_SEED` moves the places at which files are cut and flipped.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from icr.modules import ImplicitRewardModule, PreferenceModule
from icr.rounds import regenerate
from tests.e2e import tiny
from tests.faults.damage import KINDS, SEED, Ended, icr_command, spoil, state, tree

CAMPAIGN = f"corruption (ICR_FAULTS_SEED={SEED})"
MODEL = "round_0/model"
WITHIN_MODEL = (
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
)
OUTPUTS = (
    "evaluation/M0.parquet",
    *(f"answers/{name}.parquet" for name in ("M0", "dpo_en", "sft")),
    "evaluation/dpo_en.parquet",
    "evaluation/rewards_multilingual.parquet",
    "evaluation/sft.parquet",
    "round_0/diagnosis.json",
    "round_0/length_control.json",
    "round_0/pairs.parquet",
    "round_0/responses.parquet",
    "round_0/rewards.parquet",
    "round_0/skipped.json",
    *(f"{MODEL}/{name}" for name in WITHIN_MODEL),
)
DOCUMENTS = ("config.yaml", "manifest.json", "metrics.csv", "overrides.yaml", "summary.json")
HARMLESS = (".lock", "report.html", "round_0/metrics/version_0/metrics.csv")
"""A lock is held by the operating system, the page is drawn anew, and of what is logged nothing is made but curves."""

SAMPLE = {
    ("round_0/rewards.parquet", "flipped"),
    ("round_0/pairs.parquet", "deleted"),
    (f"{MODEL}/model.safetensors", "flipped"),
    ("manifest.json", "truncated"),
    ("summary.json", "emptied"),
}
"""What `make test` runs of it."""


def cases(names: tuple[str, ...]) -> list:
    """Each file spoilt in each way; all but the sample are of the campaign."""
    return [
        pytest.param(name, kind, id=f"{name} {kind}", marks=[] if (name, kind) in SAMPLE else pytest.mark.faults)
        for name in names
        for kind in KINDS
        if (name, kind) != ("manifest.json", "swapped")
    ]


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> list[str]:
    """A run of a second or two."""
    folder = tmp_path_factory.mktemp("models")
    return [
        "data=pocket",
        "data.prompts_per_language=4",
        "langs.codes=[en,sw]",
        "iterations=1",
        "evaluation.prompts.prompts_per_language=2",
        f"model.path={tiny.pocket_model(folder / 'policy', 1)}",
        f"model.reference={tiny.pocket_model(folder / 'reference', 2)}",
        "sampling.n=4",
        "sampling.max_new_tokens=12",
        "sampling.top_p=1",
        "reward.keep_truncated=true",
        "trainer.global_batch_size=2",
        "trainer.micro_batch_size=2",
        "trainer.checkpoint_every=1",
    ]


def run(directory: Path, settings: list[str], *more: str) -> Ended:
    """`icr run`, until it ends or is killed."""
    return icr_command("run", *settings, *more, f"run.dir={directory}")


@pytest.fixture(scope="module")
def finished(settings, tmp_path_factory) -> Path:
    """A finished run; its page and its export lie beside it."""
    directory = tmp_path_factory.mktemp("finished") / "run"
    assert run(directory, settings).status == 0
    assert icr_command("report", directory).status == 0
    assert icr_command("export", directory, "--to", directory.with_name("exported")).status == 0
    return directory


@pytest.fixture(scope="module")
def other(settings, tmp_path_factory) -> Path:
    """A run with another seed, to take files from."""
    directory = tmp_path_factory.mktemp("other") / "run"
    assert run(directory, settings, "seed=1").status == 0
    assert icr_command("report", directory).status == 0
    return directory


@pytest.mark.faults
def test_no_file_is_forgotten(finished: Path):
    assert set(tree(finished)) == {*OUTPUTS, *DOCUMENTS, *HARMLESS}


@pytest.mark.parametrize(("name", "kind"), cases((*OUTPUTS, *DOCUMENTS, *HARMLESS)))
def test_a_finished_run(name: str, kind: str, finished: Path, settings, tmp_path: Path, request, count):
    directory = tmp_path / "run"
    shutil.copytree(finished, directory)
    stranger = request.getfixturevalue("other") if kind == "swapped" else finished
    spoil(directory / name, kind, stranger / name)
    same = (directory / name).is_file() and (directory / name).read_bytes() == (finished / name).read_bytes()
    exported = icr_command("export", directory, "--to", tmp_path / "exported")
    reported = icr_command("report", directory)
    ended = run(directory, settings)
    for command in (exported, reported, ended):
        assert "Traceback" not in command.output
        assert command.status in (0, 2), command.output
        assert command.status == 0 or name in command.output or kind == "deleted", command.output
    if exported.status == 0:  # With what is gone, a card says less.
        assert_same(tree(tmp_path / "exported"), tree(finished.with_name("exported")), kind == "deleted", "README.md")
    if reported.status == 0 and kind != "deleted" and name not in HARMLESS:
        assert (directory / "report.html").read_text() == (finished / "report.html").read_text()
    if ended.status:
        assert ended.advised == directory / (MODEL if name.startswith(MODEL) else name), ended.output
        shutil.rmtree(ended.advised) if ended.advised.is_dir() else ended.advised.unlink()
        again = run(directory, settings)
        assert again.status == 0, again.output
    assert_same(state(directory), state(finished), name in HARMLESS, "metrics.csv")
    named = ended.status or exported.status or reported.status
    count(CAMPAIGN, "named, then made again" if named else "harmless" if same or name in HARMLESS else "made again")


@pytest.mark.faults
def test_the_manifest_of_another_run(finished: Path, other: Path, settings, tmp_path: Path, count):
    """It is whole, and it is the outputs that are not what it says."""
    directory = tmp_path / "run"
    shutil.copytree(finished, directory)
    shutil.copy(other / "manifest.json", directory)
    ended = run(directory, settings)
    assert (ended.status, "seed: 1 → 0" in ended.output) == (2, True)
    for command in (("report", directory), ("export", directory, "--to", tmp_path / "exported")):
        ended = icr_command(*command)
        assert (ended.status, "is damaged" in ended.output) == (2, True)
    count(CAMPAIGN, "named")


def assert_same(one: dict[str, str], other: dict[str, str], loosely: bool, but: str) -> None:
    """Equal, or loosely equal: `but` one entry."""
    left_out = {but} if loosely else set()
    assert {k: v for k, v in one.items() if k not in left_out} == {k: v for k, v in other.items() if k not in left_out}


class Killed(BaseException):
    """As near to SIGKILL as one process can show."""


def cut_short(directory: Path, settings: list[str], where: type, method: str, call: int) -> None:
    """A run in parts of two prompts, killed before a call of a method."""
    calls = 0
    original = vars(where)[method]

    def killing(*args, **kwargs):
        nonlocal calls
        calls += 1
        if calls == call:
            raise Killed
        return original(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(regenerate, "PART", 2)
        patch.setattr(where, method, killing)
        with pytest.raises(Killed):
            run(directory, settings)


@pytest.fixture(scope="module")
def cut_in_scoring(settings, tmp_path_factory) -> Path:
    """A run with parts of a table."""
    directory = tmp_path_factory.mktemp("scoring") / "run"
    cut_short(directory, settings, ImplicitRewardModule, "predict_step", 3)
    return directory


@pytest.fixture(scope="module")
def cut_in_training(settings, tmp_path_factory) -> Path:
    """A run with a checkpoint."""
    directory = tmp_path_factory.mktemp("training") / "run"
    cut_short(directory, settings, PreferenceModule, "training_step", 3)
    return directory


CHECKPOINT = "round_0/checkpoints/*.ckpt"
MARKS = ("round_0/rewards.parts.begun.json", "round_0/checkpoints.begun.json")
WORK = {
    "round_0/rewards.parts/*.parquet": ("cut_in_scoring", "cut_in_scoring", "round_0/rewards.parts/*.parquet"),
    "round_0/responses.parquet": ("cut_in_scoring", "other", "round_0/responses.parquet"),
    MARKS[0]: ("cut_in_scoring", "cut_in_training", MARKS[1]),
    MARKS[1]: ("cut_in_training", "cut_in_scoring", MARKS[0]),
    CHECKPOINT: ("cut_in_training", "finished", "round_0/model/model.safetensors"),
    "manifest.json": ("cut_in_training", "cut_in_scoring", "manifest.json"),
}
"""Files, of several the first; the run that has them, and the run and the file, of several the last, to swap with."""


@pytest.mark.faults
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pattern", WORK)
def test_a_run_that_was_cut_short(pattern: str, kind: str, settings, finished, tmp_path, request, count):
    directory, (cut, stranger, theirs) = tmp_path / "run", WORK[pattern]
    shutil.copytree(request.getfixturevalue(cut), directory)
    spoilt = min(directory.glob(pattern))
    spoil(spoilt, kind, max(request.getfixturevalue(stranger).glob(theirs)))
    ended = run(directory, settings)
    assert "Traceback" not in ended.output
    if ended.status:
        assert f"{spoilt} is damaged" in ended.output
        assert "elete" in ended.output
        spoilt.unlink()
        assert run(directory, settings).status == 0
    # Of a training that is begun anew, steps may have been logged twice.
    assert_same(state(directory), state(finished), True, "metrics.csv")
    count(CAMPAIGN, "named, then made again" if ended.status else "made again")
