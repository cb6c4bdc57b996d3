"""Length control without difficulty against alpaca_eval's own `length_controlled_minimal`, on real verdicts.

Theirs is liblinear's L1 with the strength chosen by cross-validation among ten, which stops at 1e-4; ours
is a normal prior of deviation 10 logits. So the two agree to 0.2 points, and no closer: L1 moves the coefficients where
the chosen strength is not the weakest.
"""

from __future__ import annotations

import csv
import gzip
import os
from functools import partial
from pathlib import Path

import pytest

from icr.evaluation import length_controlled_win_rate

FOLDER = Path(os.environ.get("ICR_SHARED_DATA", Path(__file__).parents[2] / "../shared/data")) / "alpaca_eval"
pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="no verdicts of AlpacaEval: $ICR_SHARED_DATA or ../shared/data"
)


def annotations() -> dict[str, list[dict]]:
    """Rows of each model as alpaca_eval has them; the texts are as long as the answers were."""
    by: dict[str, list[dict]] = {}
    with gzip.open(FOLDER / "verdicts.csv.gz", "rt") as file:
        for row in csv.DictReader(file):
            by.setdefault(row["model"], []).append(
                {
                    "index": int(row["index"]),
                    "instruction": row["index"],
                    "annotator": "judge",
                    "preference": float(row["preference"]),
                    "generator_1": "baseline",
                    "output_1": "x" * int(row["baseline_characters"]),
                    "generator_2": row["model"],
                    "output_2": "x" * int(row["model_characters"]),
                }
            )
    return by


@pytest.fixture
def theirs(tmp_path, monkeypatch, alpaca_eval):
    """alpaca_eval's function, without the hub, from which its minimal variant reads nothing that matters."""
    glm_winrate = alpaca_eval.metrics.glm_winrate
    file = tmp_path / "df_gamed.csv"
    file.write_text("model,index,instruction_difficulty\n" + "".join(f"x,{n},0\n" for n in range(805)))
    monkeypatch.setattr(glm_winrate, "hf_hub_download", lambda **_: str(file))
    return partial(
        glm_winrate.get_length_controlled_winrate,
        glm_name="length_controlled_minimal",
        save_weights_dir=None,
        is_add_glm_preference_inplace=False,
        is_warn_extreme_changes=False,
    )


def compare(theirs, names: list[str]) -> None:
    by = annotations()
    for name in names:
        ours = length_controlled_win_rate(
            [(row["preference"] or 1.5) - 1 for row in by[name]],
            [len(row["output_2"]) for row in by[name]],
            [len(row["output_1"]) for row in by[name]],
        )
        assert ours == pytest.approx(theirs(by[name])["length_controlled_winrate"], abs=0.2), name


def test_minimal_length_control_is_alpaca_evals(theirs):
    compare(theirs, ["claude-2"])


@pytest.mark.slow
def test_minimal_length_control_is_alpaca_evals_on_every_model(theirs):
    compare(theirs, [name for name in annotations() if name != "gpt4_1106_preview"])
