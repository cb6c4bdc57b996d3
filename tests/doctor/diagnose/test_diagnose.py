"""Diagnoses of the embedded world's pair, healthy and broken: the verdict, and the right reason for it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoModelForCausalLM

from icr.doctor.diagnose.scoring import Scorer
from icr.pocket.assets import folder
from icr.rewards.pairing import DISAGREE
from tests.doctor.conftest import *  # noqa: F403  The fixtures of the doctor.
from tests.labelled_rows import write_labelled

LANGUAGES = ("th",)
FEW = ["doctor.labelled_rows=20", "doctor.own_prompts=6"]


@pytest.fixture
def labelled(tmp_path) -> str:
    """160 rows of as many prompts."""
    return f"doctor.labelled={write_labelled(tmp_path / 'labelled', LANGUAGES, 160)}"


@pytest.fixture
def diagnose(examine) -> Callable:
    """`diagnose(…)`: of few prompts in Thai, which the pair has not been aligned in."""
    few = ["doctor.own_prompts=12", f"langs.codes=[{','.join(LANGUAGES)}]"]
    return lambda *overrides: examine("diagnose", *few, *overrides)


def found(examined, code: str = "th") -> tuple[str, set[str]]:
    """Level, and names of the reasons at that level."""
    verdict = examined.results["languages"][code]["verdict"]
    return verdict["level"], {reason["name"] for reason in verdict["reasons"] if reason["level"] == verdict["level"]}


def texts(examined, code: str = "th") -> str:
    """All that is said of a language."""
    return "; ".join(reason["text"] for reason in examined.results["languages"][code]["verdict"]["reasons"])


def test_the_shipped_pair_is_a_go(diagnose, labelled, tmp_path):
    page = tmp_path / "diagnosis.html"
    examined = diagnose(labelled, f"doctor.page={page}")
    assert examined.status == 0
    for code in LANGUAGES:
        assert found(examined, code) == ("go", set())
        languages = examined.results["languages"][code]
        equal = languages["labelled"]["equal"]["by_prompt"]["crosslingual"]
        assert equal["reward"]["low"] > 0.65
        assert equal["over"]["less likely under the reference"]["low"] > 0
        assert languages["own"]["judged"]["by_prompt"]["crosslingual"]["reward"]["value"] > 0.85
        assert languages["own"]["agreement"]["multilingual"]["order"]["value"] > 0.8
    assert "go: th" in examined.output
    assert page.read_text("utf-8").count("<svg") == 4


def test_a_policy_against_itself_is_no_go_because_rewards_are_equal(diagnose, labelled):
    examined = diagnose(labelled, *FEW, f"reward_pair.reference={folder('dpo_en')}")
    assert examined.status == 1
    assert found(examined) == ("no-go", {"equal_rewards"})
    assert "100% of the comparisons have two equal rewards: policy and reference are one model" in texts(examined)
    assert "accuracy" not in texts(examined)


@pytest.mark.slow
def test_and_so_by_labels_alone(diagnose, labelled):
    examined = diagnose(labelled, "doctor.own_prompts=0", f"reward_pair.reference={folder('dpo_en')}")
    assert found(examined) == ("no-go", {"equal_rewards"})


def other_seed(model, tokenizer) -> None:
    """The same configuration with other weights."""
    import torch

    torch.manual_seed(1)
    model.load_state_dict(AutoModelForCausalLM.from_config(model.config).state_dict())


def test_a_reference_of_another_seed_is_no_go_because_it_is_another_model(diagnose, labelled, pair):
    examined = diagnose(labelled, *FEW, *pair(reference=other_seed))
    level, names = found(examined)
    assert (level, examined.status) == ("no-go", 1)
    assert "log_ratio" in names
    assert re.search(
        r"\+[56]\.\d\d nats per token apart .*not the model that the policy was aligned from", texts(examined)
    )
    assert "not shown to be better than that of “" in texts(examined)


def shuffled(monkeypatch) -> None:
    """Rewards of other responses in the same language, other ones under each reward prompt."""
    reward = Scorer.reward

    def mixed(self, responses, by_key, what):
        rng = np.random.default_rng(0)
        for name, scored in reward(self, responses, by_key, what).items():
            for code in LANGUAGES:
                own = [place for place, row in enumerate(scored) if row.language == code]
                values = [scored[place].reward for place in rng.permutation(own)]
                for place, value in zip(own, values, strict=True):
                    scored[place] = replace(scored[place], reward=value)
            yield name, scored

    monkeypatch.setattr(Scorer, "reward", lambda *given: dict(mixed(*given)))


def test_rewards_of_other_responses_are_no_go_because_they_are_no_better_than_chance(diagnose, labelled, monkeypatch):
    shuffled(monkeypatch)
    examined = diagnose(labelled, "doctor.labelled_rows=30")
    level, names = found(examined)
    assert (level, examined.status) == ("no-go", 1)
    assert names == {"accuracy", "agreement"}
    assert "not to be told from chance" in texts(examined)
    assert "one of the two is noise" in texts(examined)


@pytest.mark.slow
def test_a_swapped_pair_is_no_go_because_it_is_worse_than_chance(diagnose, labelled):
    swap = [f"reward_pair.policy={folder('sft')}", f"reward_pair.reference={folder('dpo_en')}"]
    examined = diagnose(labelled, *swap)
    assert found(examined) == ("no-go", {"accuracy"})
    assert "worse than chance, as if policy and reference had changed places" in texts(examined)


@pytest.mark.slow
def test_without_labels_or_judge_a_go_is_not_claimed(diagnose):
    examined = diagnose("judge=none", "evaluation=none", "doctor.own_prompts=4")
    assert found(examined) == ("caution", {"unlabelled"})
    assert examined.status == 0


@pytest.mark.slow
def test_limits_are_settings(diagnose, labelled):
    examined = diagnose(labelled, "doctor.own_prompts=0", "diagnosis.limits.accuracy={caution: 0.99, no_go: 0.98}")
    assert found(examined) == ("no-go", {"accuracy"})


def test_nothing_to_diagnose_is_a_mistake(diagnose):
    examined = diagnose("doctor.own_prompts=0")
    assert examined.status == 2
    assert "doctor.labelled=<folder" in examined.errors


@pytest.mark.slow
def test_every_language_of_the_world(examine, tmp_path):
    """All eight languages with 240 rows each: the reward orders answers in every one of them."""
    codes = ("en", "es", "ru", "de", "fr", "bn", "sw", "th")
    folder = write_labelled(tmp_path / "labelled", codes, 80, 3)
    examined = examine("diagnose", f"doctor.labelled={folder}", "doctor.own_prompts=40")
    assert examined.status == 0
    for code in codes:
        languages = examined.results["languages"][code]
        assert languages["labelled"]["equal"]["by_prompt"]["crosslingual"]["reward"]["low"] > 0.6
        assert languages["own"]["judged"]["by_prompt"]["crosslingual"]["reward"]["low"] > 0.7
    assert sum(found(examined, code)[0] == "go" for code in codes) >= 6


@pytest.mark.slow
def test_all_reward_prompts_side_by_side(diagnose, labelled):
    examined = diagnose(labelled, *FEW, "diagnosis=every_prompt")
    assert examined.results["prompts"] == ["crosslingual", "multilingual", "english", "translate"]
    accuracies = examined.results["languages"]["th"]["labelled"]["equal"]
    assert set(accuracies["differences"]) == {"multilingual", "english", "translate"}


def weak_labels(source: Path, target: Path, codes: Sequence[str], rows: int) -> None:
    """gpt-4-turbo's answers over gpt-3.5-turbo's."""
    target.mkdir()
    texts = {c: json.loads((source / f"instructions/{c}.json").read_text("utf-8")) for c in codes}
    for code in codes:
        sides = [
            json.loads((source / f"outputs/{model}.{code}.json").read_text("utf-8"))
            for model in ("gpt-4-turbo-2024-04-09", "gpt-3.5-turbo-0125")
        ]
        kept = [
            {
                "id": en["id"],
                "prompt": own["instruction"],
                "prompt_en": en["instruction"],
                "chosen": a["output"],
                "rejected": b["output"],
            }
            for en, own, a, b in zip(texts["en"], texts[code], *sides, strict=True)
            if len(a["output"]) + len(b["output"]) < 1200
        ]
        (target / f"{code}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept[:rows]), encoding="utf-8")


@pytest.mark.slow
def test_random_models_on_real_answers_are_at_chance(examine, tmp_path, model_folder, shared_data):
    """No alignment, no order: and it is said to be that."""
    codes = ("en", "de")
    weak_labels(shared_data / "x_alpacaeval", tmp_path / "labelled", codes, 30)
    own = [f"model.path={model_folder('llama', max_position_embeddings=4096)}"]
    own += [f"reward_pair.reference={model_folder('llama', seed=1, max_position_embeddings=4096)}"]
    prompts = [
        "data=parallel",
        f"data.dir={shared_data / 'ultrafeedback_parallel'}",
        "doctor.own_prompts=0",
        "model=hf",
    ]
    examined = examine(
        "diagnose", f"langs.codes=[{','.join(codes)}]", f"doctor.labelled={tmp_path / 'labelled'}", *own, *prompts
    )
    for code in codes:
        assert found(examined, code)[0] == "no-go"
        accuracy = examined.results["languages"][code]["labelled"]["equal"]["by_prompt"]["crosslingual"]["reward"]
        assert accuracy["low"] < 0.5


def test_a_gate_of_two_prompts_has_its_part_in_the_pairs(diagnose):
    """Also where the diagnosis compares no other prompt by itself."""
    gate = ["gate=agreement", "reward_prompt@gate.reward_prompt=english", "doctor.own_prompts=6"]
    seen = diagnose(*gate, "~diagnosis.reward_prompts.multilingual")
    pairs = seen.results["languages"]["th"]["own"]["pairs"]
    assert list(pairs) == ["crosslingual", "gate"]
    assert pairs["crosslingual"]["pairs"] + sum(n for why, n in pairs["crosslingual"].items() if why != "pairs") == 6
    assert pairs["crosslingual"][DISAGREE]
