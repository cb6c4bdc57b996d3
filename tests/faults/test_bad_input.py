"""The campaign of bad input: each mistake ends in one paragraph that names it and exit code 2, and nothing is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from icr.models.loading import Loader
from icr.rundir import Key, RunDirectory
from icr.rundir.layout import round_stages
from tests.e2e import tiny
from tests.faults.bad_input import commands, files, models, settings
from tests.faults.bad_input.attempt import Case, World, attempt

CASES = [case for table in (settings, files, models, commands) for case in table.cases()]
EVERY = 40
"""Of how many cases one is in the sample that is always run."""


def parameters(cases: list[Case]) -> list:
    """The cases, all but a sample marked as of the campaign."""
    return [
        pytest.param(case, id=f"{place}: {case.kind}", marks=[] if place % EVERY == 3 else pytest.mark.faults)
        for place, case in enumerate(cases)
    ]


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> World:
    """Models, prompts and a run that nothing is wrong with."""
    folder = tmp_path_factory.mktemp("world")
    tiny.byte_llama(folder / "policy", 1, context=256)
    tiny.byte_llama(folder / "reference", 2, context=256)
    tiny.pocket_model(folder / "pocket", 3)
    texts = {"en": ["Name a river.", "Name a hill."], "sw": ["Taja mto.", "Taja kilima."]}
    tiny.write_prompts(folder / "prompts", texts)
    trained, stage = Loader().load(tiny.byte_llama(folder / "trained", 4, context=256)), round_stages(0).model
    RunDirectory(folder / "run", {stage: Key({}, {})}).folder(stage, lambda: trained)
    RunDirectory(folder / "begun", {stage: Key({}, {})})
    return World(folder)


@pytest.mark.parametrize("case", parameters(CASES))
def test_refused(case: Case, world: World, tmp_path: Path, capsys, monkeypatch, count):
    attempt(case, world, tmp_path, capsys, monkeypatch)
    count("bad input", "refused in a paragraph")


def test_the_campaign_is_as_large_as_it_says():
    assert len(CASES) >= 250
    assert len({case.kind for case in CASES}) >= 60
