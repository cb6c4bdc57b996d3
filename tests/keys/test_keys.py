"""Every setting of `conf/` changes the key of some stage, or is declared to change no number."""

from __future__ import annotations

import shutil

import hydra
import pytest

from icr import config
from icr.errors import RunError
from icr.rundir import RunDirectory
from tests.keys import settings as every


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    every.write_files(folder)
    return folder


@pytest.mark.parametrize("name", every.COMPOSITIONS)
def test_every_setting_is_in_a_key_or_declared_incidental(name, files, tmp_path):
    with hydra.initialize_config_dir(str(config.conf_dir()), version_base="1.3"):
        cfg = every.composed(every.COMPOSITIONS[name], files)
        seen = set(every.leaves(every.composed([], files))) if name else set()
        before, built = every.keys(cfg), config.build(cfg)
        store = RunDirectory(tmp_path, before)
        for stage in before:
            store.json(stage, dict)
        own = [key for key in every.leaves(cfg) if key not in seen or key.startswith(f"{name.partition('=')[0]}.")]
        assert own
        for key in own:
            new = every.changed(cfg, key, files)
            if new is None:
                continue
            after = every.keys(new)
            if every.declared_incidental(built, key):
                assert not [stage for stage in before if stage in after and before[stage] != after[stage]], key
                RunDirectory(tmp_path, after)
            else:
                found = every.changes(before, after)
                assert found, f"{key} is in no key, and not declared compare=False"
                if set(found) & set(before) & set(after):
                    with pytest.raises(RunError, match="holds a run with other settings"):
                        RunDirectory(tmp_path, after)


def test_an_edited_english_side_changes_the_rewards_and_what_follows_alone(files, tmp_path):
    """Rewards are under the English prompt, also where `en` takes no part; responses are to the prompt in their own."""
    prompts = tmp_path / "prompts"
    shutil.copytree(files / "prompts", prompts)
    overrides = ["data=parallel", f"data.dir={prompts}", "model=pocket", "langs.codes=[sw]", "iterations=1"]
    with hydra.initialize_config_dir(str(config.conf_dir()), version_base="1.3"):
        cfg = every.composed(overrides, files)
        before = every.keys(cfg)
        edited = (prompts / "en.jsonl").read_text().replace("Name a river.", "Name a long river.")
        (prompts / "en.jsonl").write_text(edited)
        after = every.keys(cfg)
    changed = every.changes(before, after)
    assert "round_0/responses" not in changed
    assert {"round_0/rewards", "round_0/pairs", "round_0/model"} <= set(changed)


def test_the_same_run_elsewhere_has_the_same_keys(files):
    """Keys are of content: neither the run directory nor the place of a model is in them."""
    with hydra.initialize_config_dir(str(config.conf_dir()), version_base="1.3"):
        here, there = (every.composed([f"run.dir={name}"], files) for name in ("a", "b"))
        assert every.keys(here) == every.keys(there)
