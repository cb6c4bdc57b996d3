"""What a run keeps of its command line, and what another command takes of it."""

from __future__ import annotations

import pytest

from icr.config.recorded import recorded, with_overrides, write_overrides
from icr.errors import RunError

CHOICES = {"loss": "dpo", "logger": "wandb", "experiment": None, "hydra/launcher": "basic", "langs": "all"}


def test_choices_come_before_what_was_set():
    found = recorded({**CHOICES, "reward_prompt@evaluation.reward_prompts.x": "x"}, ["loss=dpo", "loss.beta=1"])
    assert found == ["langs=all", "loss=dpo", "loss.beta=1"]


def test_what_is_set_later_counts():
    given = ["loss.beta=1", "+loss.x=2", "run.dir=a", "controls=standard"]
    assert recorded({"loss": "dpo"}, given, ["loss=kto", "loss.beta=3"]) == ["+loss.x=2", "loss=kto", "loss.beta=3"]


def test_another_command_replaces_what_it_is_about(tmp_path):
    path = tmp_path / "overrides.yaml"
    before = ["loss=dpo", "judge=pocket", "judge.malformed=0.2", "evaluation.n=2", "langs=all", "data.dir=größe ',: x"]
    write_overrides(path, before)
    assert with_overrides(path, []) == before
    own = ["judge=openai", "evaluation.n=3", "langs=[en]"]
    assert with_overrides(path, own) == ["loss=dpo", "langs=all", "data.dir=größe ',: x", *own]
    assert with_overrides(path, ["~evaluation.n"])[-1] == "~evaluation.n"


@pytest.mark.parametrize("text", ["a: b", "[1]", "[", "\0"])
def test_a_damaged_file(text, tmp_path):
    path = tmp_path / "overrides.yaml"
    path.write_text(text)
    with pytest.raises(RunError, match=r"overrides.yaml is damaged"):
        with_overrides(path, [])
