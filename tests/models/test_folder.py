"""What a model folder says of itself needs no torch."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
from icr.models.folder import base_of
assert base_of(sys.argv[1]) == "base", base_of(sys.argv[1])
assert base_of(sys.argv[2]) is None
assert not {"torch", "transformers"} & sys.modules.keys()
"""


def test_the_base_is_read_without_torch(tmp_path):
    adapter, model = tmp_path / "adapter", tmp_path / "model"
    for folder in (adapter, model):
        folder.mkdir()
        (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "base"}')
    (model / "config.json").write_text("{}")
    subprocess.run([sys.executable, "-c", CODE, str(adapter), str(model)], check=True)
