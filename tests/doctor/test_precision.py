"""What the doctor says of the weights of a GGUF file: types, bits, and what rounding has cost."""

from __future__ import annotations

import re

import numpy as np
import pytest
from gguf import GGMLQuantizationType, dequantize, quantize

from icr.doctor.checks.precision import stored
from icr.models import Loader, Lora

SMALL = {"hidden_size": 32, "intermediate_size": 64}


@pytest.mark.parametrize(("kind", "level"), [("F16", "pass"), ("Q8_0", "pass"), ("Q4_0", "warn"), ("Q5_1", "warn")])
def test_more_than_a_hundredth_is_worth_a_look(kind, level, gguf_model, shared_model):
    (finding,) = stored(str(gguf_model("llama", kind, **SMALL)), "policy")
    assert (finding.level, finding.name) == (level, "policy's precision")
    matrices = [values.detach().numpy() for values in shared_model("llama", **SMALL).parameters() if values.ndim > 1]
    norms = sum(values.numel() for values in shared_model("llama", **SMALL).parameters() if values.ndim == 1)
    rounded, type = sum(values.size for values in matrices), GGMLQuantizationType[kind]
    share = rounded / (rounded + norms)
    assert f"({kind} {share:.2%}, " in finding.seen
    width = sum(quantize(values, type).nbytes for values in matrices) * 8
    assert finding.seen.startswith(f"{(width + 32 * norms) / (rounded + norms):.2f} bits per weight, ")
    if kind == "F16":
        assert finding.seen.count("as published") == 3
        return
    said = float(re.search(rf"{kind} [\d.]+%, off by ([\d.]+)%", finding.seen)[1]) / 100
    power = sum(float(np.square(values).sum()) for values in matrices)
    lost = sum(float(np.square(dequantize(quantize(v, type), type) - v).sum()) for v in matrices)
    assert said == pytest.approx((lost / power) ** 0.5, rel=0.1)


def test_an_adapter_has_lost_what_its_file_has_and_a_folder_nothing(gguf_model, model_folder, tmp_path):
    file = str(gguf_model("llama", "Q4_0", **SMALL))
    Loader(adapter=Lora(r=2, alpha=4)).load_for_training(file, 0).save(tmp_path)
    assert list(stored(str(tmp_path), "reference")) == list(stored(file, "reference"))
    assert not list(stored(str(model_folder()), "policy"))


def test_it_stands_in_the_examination(examine, prompt_files, gguf_model):
    file, other = (gguf_model("llama", kind, seed, **SMALL) for kind, seed in (("Q4_0", 0), ("Q8_0", 1)))
    examined = examine(
        "check",
        *prompt_files(en={"1": "One?"}, sw={"1": "Moja?"}),
        f"model.path={file}",
        f"model.reference={other}",
        "judge=none",
        "evaluation=none",
    )
    assert examined.finding("policy's precision")["level"] == "warn"
    assert examined.finding("reference's precision")["level"] == "pass"
    assert "4.62 bits per weight" in examined.finding("policy's precision")["seen"]
