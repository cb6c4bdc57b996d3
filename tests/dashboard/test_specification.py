"""The dashboard's specification is of what is logged and set alone, and the documentation says what it shows."""

from __future__ import annotations

import hydra
import pytest
from omegaconf import OmegaConf

from icr import metrics
from icr.config import conf_dir
from icr.dashboard import Subject, default_subject, sections, specification
from icr.dashboard.panels import Differences, logged_keys, setting_keys
from tests.dashboard import page
from tests.dashboard.specification import panels, plotted

pytestmark = pytest.mark.filterwarnings("ignore:Pydantic V1 style:DeprecationWarning")  # In W&B's library.
SUBJECT = Subject(languages=["en", "es", "sw"], reward_prompts=["crosslingual", "multilingual"])
AXES = {metrics.ROUND, metrics.GLOBAL_STEP, metrics.MODEL}


@pytest.fixture(scope="module")
def settings():
    """The composed configuration of a run in the embedded world."""
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return hydra.compose("config")


def test_all_that_is_plotted_is_on_the_list_of_names():
    found = plotted(specification(SUBJECT))
    logged = {*metrics.logged(SUBJECT.languages, SUBJECT.reward_prompts)}
    assert found.history - AXES <= logged
    assert found.history >= AXES
    assert found.summary <= logged
    assert found.tables == {metrics.SAMPLES}
    assert len(found.history | found.summary) > 80


def test_a_panel_shows_what_documentation_says_of_it():
    """The panels of our own and the dumped ones have the same keys, in workspace and report alike."""
    document = specification(SUBJECT)
    shown = [panel for section in sections(SUBJECT) for panel in section.panels]
    ours = {key for panel in shown for key in logged_keys(panel)}
    settings = {key for panel in shown for key in setting_keys(panel)}
    for part in ("workspace", "report"):
        found = plotted(document[part])
        assert found.history | found.summary | found.tables == ours
        assert found.config == settings
        assert len([*panels(document[part])]) == len(shown)
    assert any(isinstance(panel, Differences) for panel in shown)


def test_the_page_lists_what_is_shown():
    assert page.PAGE.read_text("utf-8").partition(page.MARK)[2] == page.shown(), "python -m tests.dashboard.page"


def test_settings_that_are_plotted_are_settings(settings):
    swept = ["loss.beta", "seed", "loss._target_"]
    found = plotted(specification(Subject(["en", "sw"], swept=swept)))
    assert {"loss.alpha", "sampling.n", "data.prompts_per_language", "loss.beta"} <= found.config
    assert [key for key in found.config if OmegaConf.select(settings, key) is None] == []


@pytest.mark.parametrize("name", ["it's", 'a "b"', "α=1,2", "back\\slash", "a and b", "x in y", "x" * 200])
def test_any_name_of_a_sweep_is_taken(name):
    document = specification(Subject(["sw"], group=name))
    runs = document["workspace"]["spec"]["section"]["runSets"][0]
    assert runs["filters"]["filters"][0]["value"] == name
    assert len(document["report"]["displayName"]) <= 128


def test_no_two_panels_have_one_id():
    for subject in (SUBJECT, default_subject(), Subject(["sw"], [], swept=["loss.beta", "optim.lr"])):
        ids = [panel["__id__"] for panel in panels(specification(subject))]
        assert len(ids) == len(set(ids))


def test_sections_are_named_and_open_with_the_overview():
    workspace = specification(SUBJECT)["workspace"]["spec"]["section"]["panelBankConfig"]["sections"]
    names = ["Overview", "Per language", "Rewards and lengths", "Training", "Sweep over α", "Sweep over sample counts"]
    assert [section["name"] for section in workspace] == [*names, "Alarms"]
    assert [section["isOpen"] for section in workspace] == [True] + [False] * 6
    blocks = specification(SUBJECT)["report"]["spec"]["blocks"]
    headings = [block["children"][0]["text"] for block in blocks if block["type"] == "heading"]
    assert headings == [*names, "Alarms"]
    grids = [block for block in blocks if block["type"] == "panel-grid"]
    assert len(grids) == len(headings)
    for grid in grids:
        placed = [panel["layout"] for panel in grid["metadata"]["panelBankSectionConfig"]["panels"]]
        assert len({(at["x"], at["y"]) for at in placed}) == len(placed)
        assert all(at["x"] + at["w"] <= 24 for at in placed)


def test_without_english_and_without_accuracy_there_is_nothing_of_them():
    found = plotted(specification(Subject(["es", "sw"], [])))
    assert not any(name.startswith(("en/", "accuracy/")) for name in found.history | found.summary)
    assert "es/eval/win_rate" in found.history
    assert "en/eval/win_rate" not in plotted(specification(SUBJECT)).history  # English is no target.
