"""`icr doctor`, `python -m icr.doctor`: examine a model pair and prompts, plan memory and hours, diagnose rewards."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import hydra
from omegaconf import DictConfig

from icr.config.command import run_app, said
from icr.config.files import conf_dir
from icr.terminal import Exit, quiet

PARTS = ("check", "plan", "diagnose")


@hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="doctor")
def app(cfg: DictConfig) -> None:
    """Examine and plan, or diagnose; exits with `Exit.FINDING` where a check fails or a language is no-go."""
    from icr.doctor.job import job  # Seconds of imports, which --help does without.

    quiet()
    with said():
        failures = job(cfg)
    if failures:
        raise SystemExit(Exit.FINDING)


def main(arguments: Sequence[str] | None = None) -> int:
    """Examine, and return the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] in PARTS:
        words[0] = f"doctor.only={words[0]}"
    return run_app(app, words, name="doctor")


if __name__ == "__main__":
    sys.exit(main())
