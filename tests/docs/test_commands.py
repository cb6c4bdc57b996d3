"""What the README and `docs/` tell people to type is accepted as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from icr.config import build, conf_dir
from icr.config.command import as_overrides
from icr.dashboard.__main__ import parser as dashboard_parser
from icr.doctor.__main__ import PARTS
from icr.evaluate.__main__ import as_arguments
from icr.export.__main__ import parser
from icr.report.__main__ import main as report
from tests.docs.pages import PAGES, TUTORIALS, all_commands, write_files

CHOICES = (TUTORIALS.parent / "choices.md").read_text("utf-8")


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A folder with all files of the tutorials, importable."""
    for page in sorted(TUTORIALS.glob("*.md")):
        write_files(page, tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def overrides(arguments: list[str], own: Path) -> list[str]:
    """The overrides of a command; of a sweep its first job's. Folders of configuration are those of the tutorials."""
    words = as_overrides([word for word in arguments if word not in ("-m", "--help")])
    words = [re.sub(r"=([^\[,]+),.*", r"=\1", word) for word in words]
    return [re.sub(r"^--config-dir=(\S+)", rf"hydra.searchpath=[file://{own}/\1]", word) for word in words]


@pytest.mark.parametrize("word", ["run", "evaluate", "doctor", "export", "report", "dashboard"])
def test_there_are_commands_of_every_word(word):
    assert len(all_commands(word)) >= 2


@pytest.mark.parametrize("arguments", all_commands("run"), ids=" ".join)
def test_every_run_composes_and_is_accepted(arguments, own):
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        build(compose("config", overrides(arguments, own)))


@pytest.mark.parametrize("arguments", all_commands("doctor"), ids=" ".join)
def test_commands_of_the_doctor_compose(arguments, own):
    given = overrides([word for word in arguments if word not in PARTS], own)
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        assert compose("doctor", given).doctor.samples


@pytest.mark.parametrize("arguments", all_commands("evaluate"), ids=" ".join)
def test_commands_of_an_evaluation_compose(arguments, own):
    """A run or a model comes first, if there is one: `model.path` stands for both here."""
    words = as_arguments([word if "=" in word else f"model.path={word}" for word in arguments])
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = compose("evaluate", ["data=pocket", *overrides(words, own)])
    assert cfg.evaluate.models is not None


@pytest.mark.parametrize("arguments", all_commands("export"), ids=" ".join)
def test_every_export_is_accepted(arguments):
    assert parser().parse_args(arguments).to.name in ("icr-llama", "gemma-3-270m")


@pytest.mark.parametrize("arguments", all_commands("report"), ids=" ".join)
def test_every_report_is_accepted_and_misses_its_run_alone(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert report(arguments) == 2
    assert "is not a folder" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", all_commands("dashboard"), ids=" ".join)
def test_every_dashboard_is_accepted(arguments):
    options = dashboard_parser().parse_args(arguments)
    assert bool(options.run) != bool(options.languages)


def test_the_table_of_choices_has_every_option():
    rows = re.findall(r"^\| `(\w+)` \| ((?:`[\w.]+` ?)+)\|", CHOICES, re.MULTILINE)
    listed = {group: set(re.findall(r"`([\w.]+)`", options)) for group, options in rows}
    groups = [folder for folder in conf_dir().iterdir() if folder.is_dir()]
    assert listed == {group.name: {path.stem for path in group.glob("[!_]*.yaml")} for group in groups}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_pages_name_what_there_is(page):
    """Groups' options in code, as in `loss=kto`, wherever the group is one of `conf/`."""
    conf = conf_dir()
    own = {"hinge", "bilingual", "script", "shorter"}
    for group, option in re.findall(r"[`\s](\w+)=([a-z]\w*)(?=[`\s])", page.read_text("utf-8")):
        if (conf / group).is_dir() and option not in own:
            assert (conf / group / f"{option}.yaml").is_file(), (group, option)
