"""The wheel is built, holds the package and nothing else, and runs from a folder where no checkout is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from icr import __version__

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
CACHES = {"__pycache__", ".mypy_cache", ".ruff_cache"}


@dataclass(frozen=True)
class Installed:
    """An environment that holds the wheel, and a folder with nothing in it to work in."""

    python: Path
    folder: Path

    def __call__(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A command of that environment; one of several words is `python`'s."""
        one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "HF_HUB_OFFLINE"), "1")
        ours = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        return subprocess.run(command, cwd=self.folder, env=ours | one, capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distribution, and with the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    return built / f"icr-{__version__}-py3-none-any.whl"


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel in an environment of its own, which finds what it depends on in the one that runs the tests."""
    environment = tmp_path_factory.mktemp("environment")
    python = environment / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True, timeout=120)
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(pip, check=True, timeout=120)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    # A folder that such a file names has its own .pth files left unread, and so an editable install of the checkout.
    (environment / "lib" / version / "site-packages" / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return Installed(python, tmp_path_factory.mktemp("elsewhere"))


def files(folder: Path) -> Iterator[str]:
    """What a checkout has under a folder, without caches."""
    for path in folder.rglob("*"):
        if path.is_file() and not CACHES & set(path.parts):
            yield path.relative_to(folder).as_posix()


def test_the_wheel_is_the_package_with_its_configuration_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.startswith(f"icr-{__version__}.dist-info/")}
    package = {f"icr/{name}" for name in files(ROOT / "icr")}
    assert names == package | {f"icr/conf/{name}" for name in files(ROOT / "conf")}
    assert any(name.endswith("assets/dpo_en/model.safetensors") for name in names)


def test_the_source_distribution_has_what_builds_the_wheel(built):
    with tarfile.open(built / f"icr-{__version__}.tar.gz") as archive:
        names = {name.split("/")[1] for name in archive.getnames() if "/" in name}
    assert {"icr", "conf", "LICENSE", "README.md", "CHANGELOG.md", "CITATION.cff", "pyproject.toml"} <= names
    assert not names & {"tests", "runs", "experiments", ".github", ".venv"}


def test_settings_compose_without_a_checkout(installed):
    shown = installed(str(installed.python), "-m", "icr.run", "--cfg", "job", "loss=kto")
    assert shown.returncode == 0, shown.stderr
    assert yaml.safe_load(shown.stdout)["loss"]["_target_"] == "icr.losses.KTO"
    where = installed(str(installed.python), "-c", "import icr; print(icr.__file__)")
    assert Path(where.stdout.strip()).is_relative_to(installed.python.parents[1])


def test_a_run_without_a_checkout(installed):
    done = installed(
        *(str(installed.python), "-m", "icr.run", "run.dir=run", "langs.codes=[en,sw]", "data.prompts_per_language=4"),
        *("iterations=1", "evaluation=none", "sampling.n=2", "sampling.max_new_tokens=16"),
        *("reward.keep_truncated=true", "trainer.max_steps=1"),
    )
    assert done.returncode == 0, done.stderr
    run = installed.folder / "run"
    assert json.loads((run / "manifest.json").read_text())["stages"]
    assert (run / "round_0" / "model" / "model.safetensors").is_file()
    assert (run / "report.html").is_file()


def test_console_scripts_answer(installed):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for script in project.get("scripts", {}):
        shown = installed(str(installed.python.with_name(script)), "--help")
        assert shown.returncode == 0, shown.stderr
        assert shown.stdout.startswith(f"usage: {script} ")
