"""Imports run one way, as the design has it; who knows what is written down here."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted(path.relative_to(ROOT) for path in (ROOT / "icr").rglob("*.py"))

LAYERS = [
    {"__init__", "types", "errors", "arguments", "explain", "usage", "world"},
    {"logps", "losses", "rewards"},
    {"models", "data"},
    {"modules", "sampling"},
    {"rounds", "evaluation", "report"},
    {"config", "pipeline", "summary", "launch", "command_line", "doctor", "run", "worker", "export"},
]
"""Each room imports from its own row and those above it."""

BESIDE = {"pocket"}
"""Implements interfaces of the rooms, and no room knows it."""

STANDARD = sys.stdlib_module_names


def room(file: Path) -> str:
    return file.parts[1].removesuffix(".py")


def imported(file: Path) -> set[str]:
    """Modules that `file` imports anywhere, `from a import b` as `a.b`."""
    names = set()
    for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def rooms_imported(file: Path) -> set[str]:
    return {name.split(".")[1] for name in imported(file) if name.startswith("icr.")}


def libraries(file: Path) -> set[str]:
    return {name.split(".")[0] for name in imported(file)} - {"icr"}


def test_every_room_has_its_row():
    assert {room(file) for file in FILES} == set.union(*LAYERS) | BESIDE


@pytest.mark.parametrize("file", [file for file in FILES if room(file) not in BESIDE], ids=str)
def test_imports_run_one_way(file):
    row = next(row for row, rooms in enumerate(LAYERS) if room(file) in rooms)
    allowed = set.union(*LAYERS[: row + 1]) | {"__version__"}
    assert rooms_imported(file) <= allowed


def test_losses_and_rewards_know_numbers_and_types_alone():
    for file in FILES:
        if room(file) in ("losses", "rewards"):
            outside = {name for name in libraries(file) if name not in STANDARD}
            assert outside <= {"torch", "numpy"}, file
            assert rooms_imported(file) <= {room(file), "types"}, file


def test_losses_do_not_know_rewards_nor_logps_either_of_them():
    for file in FILES:
        if room(file) == "logps":
            assert rooms_imported(file) <= {"logps", "types", "errors"}, file


def test_only_entry_points_and_config_know_hydra():
    knowing = {file for file in FILES if libraries(file) & {"hydra", "omegaconf"} and room(file) != "config"}
    assert {str(file) for file in knowing} <= {
        f"icr/{name}.py" for name in ("run", "worker", "command_line", "doctor/__main__")
    }


def test_nothing_knows_the_embedded_world():
    for file in FILES:
        if room(file) != "pocket":
            assert "pocket" not in rooms_imported(file), file
            assert "icr.pocket" not in (ROOT / file).read_text(encoding="utf-8"), file


def test_the_embedded_world_knows_interfaces_only():
    for file in FILES:
        if room(file) == "pocket":
            assert rooms_imported(file) <= {"pocket", "types", "errors"}, file


def test_modules_know_no_sampling_and_data_no_training():
    for file in FILES:
        if room(file) == "modules":
            assert "sampling" not in rooms_imported(file), file
        if room(file) in ("models", "losses", "rewards", "logps"):
            assert "lightning" not in libraries(file), file
        if room(file) == "models":
            assert "data" not in rooms_imported(file), file


def test_no_file_is_long():
    lengths = {str(file): len((ROOT / file).read_text(encoding="utf-8").splitlines()) for file in FILES}
    assert {file: length for file, length in lengths.items() if length > 300} == {}
