"""Names of a run directory: where a stage's output lies, and who may spell it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from icr.errors import RunError
from icr.rundir.layout import FORMAT, Layout, accuracy_stage, check_format, evaluation_stage, round_stages

PACKAGE = Path(__file__).parents[2] / "icr"
FILES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py") if "rundir" not in path.parts)

SPELLED = re.compile(
    r"round_(\d+.*|\*.*)?"
    r"|(.*/)?((manifest|summary|length_control|skipped)\.json|config\.yaml|metrics\.csv|report\.html)"
    r"|(.*/)?(responses|rewards|pairs)\.parquet"
    r"|.*/(responses|rewards|length_control|skipped|pairs|model|merged|checkpoints)"
    r"|evaluation/(rewards_)?|(.*/)?controls/.*"
)


def spelled(source: str) -> Iterator[str]:
    """String literals, and the fixed parts of formatted ones, that are names in a run directory and nothing else."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SPELLED.fullmatch(node.value):
            yield node.value


def test_where_the_output_of_a_stage_lies():
    layout, stages = Layout(Path("run")), round_stages(3)
    files = layout.round(3)
    assert stages.rewards == "round_3/rewards"
    assert layout.table(stages.rewards) == files.rewards == Path("run/round_3/rewards.parquet")
    assert layout.document(stages.skipped) == files.skipped == Path("run/round_3/skipped.json")
    assert layout.folder(stages.model) == files.model == Path("run/round_3/model")
    assert layout.table(evaluation_stage("M3")) == layout.evaluation("M3") == Path("run/evaluation/M3.parquet")
    assert layout.table(accuracy_stage("plain")) == Path("run/evaluation/rewards_plain.parquet")
    assert layout.control("nll_random").round(0).pairs == Path("run/controls/nll_random/round_0/pairs.parquet")


def test_rounds_are_found_by_their_folders_and_attempts_in_order(tmp_path):
    assert Layout(tmp_path / "none").rounds() == []
    for name in ("round_10", "round_2", "round_2.tmp", "round_x", "rounds", "round_0/metrics"):
        (tmp_path / name).mkdir(parents=True)
    assert Layout(tmp_path).rounds() == [0, 2, 10]
    files = Layout(tmp_path).round(0)
    for attempt in (10, 9, 2):
        (files.metrics / f"version_{attempt}").mkdir()
        (files.metrics / f"version_{attempt}/metrics.csv").touch()
    assert [file.parent.name for file in files.metrics_files()] == ["version_2", "version_9", "version_10"]


def test_directories_of_another_version_are_refused_in_one_sentence():
    path = Path("runs/old/manifest.json")
    check_format(path, {"format": FORMAT, "stages": {}})
    with pytest.raises(RunError, match=r"^runs/old holds a run of an earlier version of icr \(0\.1\.0\): read it"):
        check_format(path, {"settings": {}, "stages": {}})
    with pytest.raises(RunError, match=r"another version of icr \(format 2\): .* or give another run\.dir"):
        check_format(path, {"format": 2})


@pytest.mark.parametrize("file", FILES, ids=str)
def test_no_other_room_spells_a_name(file: Path):
    assert list(spelled((PACKAGE / file).read_text(encoding="utf-8"))) == []


def test_spelling_is_noticed():
    source = """f"round_{t}", p / "round_0/rewards.parquet", f"{name}/model", f"controls/{x}", p / "summary.json" """
    assert len(list(spelled(source))) == 5
    assert list(spelled('"""A round_<t>/model."""; a = "round_start"; b = "RUN/report.html is written"')) == []
