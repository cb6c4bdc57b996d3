"""What trackers are told of a run, from its directory."""

from __future__ import annotations

import yaml

from icr.rundir.sweeps import Job, write_plan
from icr.tracking import About, about


def test_settings_without_secrets_and_tags(tmp_path):
    job = tmp_path / "sweep/1_x"
    job.mkdir(parents=True)
    config = {"langs": {"codes": ["en", "sw"]}, "judge": {"api_key": "s3cret"}}
    (job / "config.yaml").write_text(yaml.safe_dump(config))
    (job / "overrides.yaml").write_text(yaml.safe_dump(["stage=icr", "loss=kto", "seed=1", "optim=adamw"]))
    assert about(job).tags == ["icr", "kto", "en", "sw"]
    jobs = [Job(n, f"{n}_x", {"loss": "kto", "loss.alpha": str(n), "judge.token": f"s3cret{n}"}) for n in range(2)]
    write_plan(job.parent, jobs)
    found = about(job)
    assert found.tags == ["icr", "kto", "en", "sw", "loss.alpha=1", "judge.token=<hidden>"]
    assert found.languages == ["en", "sw"]
    assert found.config == {**config, "judge": {"api_key": "<hidden>"}}


def test_a_directory_that_has_none_of_it(tmp_path):
    assert about(tmp_path) == About({}, [], [])
