"""`import icr`: a dozen names, each imported when it is asked for."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import icr
from icr import config, export, report, rundir


def test_importing_icr_imports_nothing_heavy():
    program = "import sys, icr; dir(icr); print({'torch', 'transformers', 'numpy', 'hydra'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize("face", [icr, config, report, export, rundir], ids=lambda face: face.__name__)
def test_every_name_resolves_and_is_seen_by_type_checkers(face):
    tree = ast.parse(Path(face.__file__).read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert len(set(face.__all__)) == len(face.__all__)
    for name in face.__all__:
        assert name in imported
        assert getattr(face, name).__name__ == name
        first, again = getattr(face, name), getattr(face, name)
        assert first is again


def test_names_are_listed():
    assert set(icr.__all__) <= set(dir(icr))


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'icr' has no attribute 'DPOO'"):
        _ = icr.DPOO
