"""What a pipeline makes of prompts before any weights are loaded."""

from __future__ import annotations

import hydra
import pytest

from icr import config
from icr.config import conf_dir
from icr.data.context import TOO_LONG
from icr.pipeline import Pipeline


@pytest.fixture
def pipeline(tmp_path):
    """`pipeline(*overrides)`: of the embedded world, in an empty directory."""

    def make(*overrides: str) -> Pipeline:
        with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
            cfg = hydra.compose("config", ["langs.codes=[en,sw]", *overrides])
        return Pipeline(config.build(cfg), tmp_path / "run", "cpu")

    return make


def test_evaluation_prompts_are_held_to_the_context(pipeline):
    """As training prompts are, by the evaluation's own limit of tokens; what is left out is counted beside them."""
    every = pipeline()
    assert not every.skipped
    lengths = {(p.id, p.language): len(every.renderer.prompt_ids(p.text)) for p in every.evaluation.prompts}
    assert len(set(lengths.values())) > 1
    room = max(lengths.values()) - 1
    limit = every.context - room
    made = pipeline(f"+evaluation.sampling.max_new_tokens={limit}")
    kept = {key for key, length in lengths.items() if length <= room}
    assert {(p.id, p.language) for p in made.evaluation.prompts} == kept
    left_out = {}
    for language in ("en", "sw"):
        if count := sum(key[1] == language and key not in kept for key in lengths):
            left_out[language] = {f"evaluation: {TOO_LONG}": count}
    assert made.skipped == left_out != {}
