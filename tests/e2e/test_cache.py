"""A run that takes what another has made ends as one that makes it all."""

from __future__ import annotations

import pytest

from tests.e2e.test_resume import settings, weights_differ


@pytest.fixture(scope="module")
def cache(program, pocket_pair, tmp_path_factory):
    """A cache with the stages of one run of two rounds."""
    folder = tmp_path_factory.mktemp("cache")
    program.ok(folder / "first", [*settings(pocket_pair), f"cache.dir={folder / 'stages'}"])
    return folder / "stages"


@pytest.mark.parametrize(
    ("override", "shared"),
    [
        ("loss.alpha=0", {"responses", "rewards", "length_control", "skipped", "diagnosis", "pairs"}),
        ("sampling.n=2", set()),  # Its rows are a part of those of the first run.
    ],
)
def test_weights_are_those_of_a_run_without_it(program, pocket_pair, cache, tmp_path, override, shared):
    given = [*settings(pocket_pair), override, "iterations=1"]
    taken = program.ok(tmp_path / "taken", [*given, f"cache.dir={cache}"])
    program.ok(tmp_path / "made", given)
    assert weights_differ(*(tmp_path / name / "round_0/model" for name in ("taken", "made"))) < 1e-6
    own = {name.removeprefix("round_0/") for name, entry in taken.stages().items() if "shared" in entry}
    assert own == shared
    if not shared:
        assert "round_0/responses: 160 rows are taken" in taken.output
        assert "round_0/rewards: 160 rows are taken" in taken.output
