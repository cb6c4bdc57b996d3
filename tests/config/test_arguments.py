"""`langs=[en,es]`, which everyone types first, is `langs.codes=[en,es]`, for runs, sweeps and the doctor."""

from __future__ import annotations

import os
import sys

import pytest
import yaml

from icr.config.command import as_overrides, run_app
from icr.doctor import __main__ as doctor
from icr.run import __main__ as run


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("langs=[en,es]", "langs.codes=[en,es]"),
        ("langs=[en]", "langs.codes=[en]"),
        ("langs=[en],[en,sw]", "langs.codes=[en],[en,sw]"),
        ("langs= [en, es]", "langs.codes= [en, es]"),
        ("langs=low_resource", "langs=low_resource"),
        ("langs=en,es", "langs=en,es"),
        ("langs.codes=[en]", "langs.codes=[en]"),
        ("+controls.few=['langs=[en]']", "+controls.few=['langs=[en]']"),
        ("sampling.urls=[a,b]", "sampling.urls=[a,b]"),
        ("files=a/{language}.json", "files='a/{language}.json'"),
        ("tasks=[xcopa_{language},b/{language}.yaml,c]", "tasks=['xcopa_{language}','b/{language}.yaml',c]"),
        ("tasks=['a_{language}']", "tasks=['a_{language}']"),
        ("-m", "-m"),
    ],
)
def test_arguments_as_hydra_takes_them(given, taken):
    assert as_overrides(["first=1", given, "last=2"]) == ["first=1", taken, "last=2"]


@pytest.mark.parametrize(("command", "words"), [(run, []), (doctor, []), (doctor, ["plan"])])
def test_the_commands_take_it(command, words, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["icr"])
    command.main([*words, "langs=[en,es]", "loss=kto", "--cfg", "job"])
    composed = yaml.safe_load(capsys.readouterr().out)
    assert composed["langs"]["codes"] == ["en", "es"]
    assert composed["loss"]["_target_"] == "icr.losses.KTO"


def test_a_sweep_over_lists_of_languages(capfd, monkeypatch, tmp_path):
    """Each job is refused, for its own list of languages."""
    monkeypatch.setattr(sys, "argv", ["icr"])
    assert run.main(["-m", f"run.dir={tmp_path}", "langs=[en,qq],[en,qqq]"]) == 2
    said = capfd.readouterr().err
    assert "langs.codes=[en,qq]: langs.codes: 'qq' is not a known language code" in said
    assert "langs.codes=[en,qqq]: langs.codes: 'qqq' is not a known language code" in said


def test_a_sweep_over_codes_is_told_how_a_list_is_written(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["icr"])
    assert run.main(["-m", f"run.dir={tmp_path}", "langs=en,es"]) == 2
    assert "Languages by their codes are a list: langs=[en,es]" in capsys.readouterr().err


def test_a_command_bounds_what_onednn_keeps_and_leaves_what_is_set(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["icr"])
    given = {name: value for name, value in os.environ.items() if not name.startswith("ONEDNN")}
    monkeypatch.setattr(os, "environ", given | {"TOKENIZERS_PARALLELISM": "true"})
    seen = {}
    assert run_app(lambda: seen.update(os.environ), []) == 0
    assert (seen["ONEDNN_PRIMITIVE_CACHE_CAPACITY"], seen["TOKENIZERS_PARALLELISM"]) == ("256", "true")
