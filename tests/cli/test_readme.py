"""What the README tells people to type is accepted as it stands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from icr.config import build, conf_dir
from icr.doctor.__main__ import PARTS
from icr.export.__main__ import parser

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = "\n".join(re.findall(r"^```\n(.*?)^```", README, re.MULTILINE | re.DOTALL)).replace("\\\n", " ")
EXPORTS = [line.partition("#")[0] for line in BLOCKS.splitlines() if line.startswith("python -m icr.export")]
DOCTORS = [line.partition("#")[0] for line in BLOCKS.splitlines() if line.startswith("python -m icr.doctor")]
RUNS = [line.partition("#")[0] for line in BLOCKS.splitlines() if line.startswith("python -m icr.run")]


def overrides(command: str) -> list[str]:
    """The overrides of a command; of a sweep its first job's."""
    words = [word for word in shlex.split(command)[3:] if word not in ("-m", "--help")]
    return [re.sub(r"=([^\[,]+),.*", r"=\1", word) for word in words]


def test_there_are_commands():
    assert len(RUNS) >= 6
    assert len(EXPORTS) >= 2
    assert len(DOCTORS) >= 2


@pytest.mark.parametrize("command", RUNS, ids=lambda command: command.strip()[17:] or "default")
def test_every_run_composes_and_is_accepted(command):
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        build(compose("config", overrides(command)))


@pytest.mark.parametrize("command", EXPORTS)
def test_every_export_is_accepted(command):
    assert parser().parse_args(shlex.split(command)[3:]).to.name == "icr-llama"


@pytest.mark.parametrize("example", re.findall(r"`(stage=[^`]+)`", README))
def test_the_stages_before_compose(example):
    given = example.replace("<base model>", "somewhere").split()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        build(compose("config", given))


def test_every_make_target_exists():
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)", README, re.MULTILINE))
    assert {"demo", "test"} <= {a or b for a, b in named} <= targets


def test_every_option_of_the_table_exists():
    rows = re.findall(r"^\| `(\w+)` \| ((?:`\w+` ?)+)\|", README, re.MULTILINE)
    assert len(rows) >= 7
    for group, options in rows:
        for option in re.findall(r"`(\w+)`", options):
            assert (conf_dir() / group / f"{option}.yaml").is_file(), (group, option)


def test_every_file_and_picture_named_is_there():
    for path in re.findall(r"\]\(((?!https?:)[^)]+)\)", README):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("command", DOCTORS)
def test_commands_of_the_doctor_compose(command):
    word, *given = overrides(command)
    assert word in PARTS
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        assert compose("doctor", given).doctor.samples
