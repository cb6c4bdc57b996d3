"""The benchmark `answers`: its stages, which win rates share, and the tables that it leaves."""

from __future__ import annotations

from dataclasses import replace

import pyarrow.parquet as pq
import pytest

from icr.data.context import usable_prompts
from icr.errors import ConfigError, DataError
from icr.evaluation import Answers, Bench, JudgedEvaluation, PromptFiles, Setting, Subject, repeats
from icr.evaluation.answers import described
from icr.keys import of_stages
from icr.models import Loader
from icr.pocket import PocketJudge, PocketPrompts, PocketReferences
from icr.pocket.assets import folder
from icr.rundir import RunDirectory
from icr.sampling import TransformersSampler
from tests.keys.settings import write_files

SFT = str(folder("sft"))
SUBJECT = Subject("sft", SFT)
SAMPLER = TransformersSampler(n=5, temperature=1.3, max_new_tokens=12)


class Swahili:
    """Refuses what has no letter of one word."""

    checks, reason = "responses", "in another language"

    def __call__(self, language: str, text: str) -> bool:
        return "a" in text


def setting(languages=("en", "sw")) -> Setting:
    renderer = Loader().renderer(SFT)

    def usable(given, longest):
        return usable_prompts(given, renderer, [lambda p: p.text], 256, longest)

    return Setting(languages, SAMPLER, usable, Loader(), [SFT])


def opened_in(where, benchmark, subject=SUBJECT):
    opened = benchmark.open(setting())
    keys = of_stages(opened.stages(subject), "sft", {"seed": 3})
    opened.measure(subject, Bench(RunDirectory(where, keys), Loader(), "cpu", 3))
    return opened


@pytest.fixture
def benchmark() -> Answers:
    return Answers(PocketPrompts(5), n=3, language_check=Swahili())


def test_every_answer_is_kept_with_what_is_seen_of_it(tmp_path, benchmark):
    opened = opened_in(tmp_path / "out", benchmark)
    table = pq.read_table(tmp_path / "out" / "described" / "sft.parquet").to_pylist()
    sampled = pq.read_table(tmp_path / "out" / "answers" / "sft.parquet").to_pylist()
    assert len(table) == len(sampled) == 2 * 5 * 3
    prompts = {(p.id, p.language): p.text for p in opened.prompts}
    for row, response in zip(table, sampled, strict=True):
        assert row == {
            **{name: response[name] for name in ("id", "language", "k", "text", "finish_reason")},
            "prompt": prompts[row["id"], row["language"]],
            "tokens": len(response["response_ids"]),
            "characters": len(response["text"]),
            "repeats": repeats(response["text"]),
            "off_language": "a" not in response["text"],
        }
    figures = opened.result().figures["sft"]
    cut = [row for row in sampled if row["language"] == "sw" and row["finish_reason"] == "length"]
    assert figures["truncation_rate"]["sw"] == pytest.approx(100 * len(cut) / 15)
    assert len({row["finish_reason"] for row in sampled}) == 2
    assert opened.result().notes == ["Prompts: en 5, sw 5."]


def test_win_rates_are_of_the_same_answers_which_are_sampled_once(tmp_path, benchmark, monkeypatch):
    evaluation = JudgedEvaluation(PocketJudge(), PocketReferences(0.6), PocketPrompts(5), n=3)
    ours, theirs = (one.open(setting()).stages(SUBJECT)[0] for one in (benchmark, evaluation))
    assert of_stages([ours], "v", {"seed": 3}) == of_stages([theirs], "v", {"seed": 3})
    opened_in(tmp_path / "out", benchmark)
    monkeypatch.setattr(TransformersSampler, "sample", None)
    assert len(opened_in(tmp_path / "out", evaluation).rows["sft"]) == 30


def test_a_killed_reading_goes_on_with_the_answers_that_are_there(tmp_path, benchmark, monkeypatch):
    def dies(text):
        raise KeyboardInterrupt

    monkeypatch.setattr(described, "repeats", dies)
    with pytest.raises(KeyboardInterrupt):
        opened_in(tmp_path / "out", benchmark)
    monkeypatch.setattr(described, "repeats", repeats)
    monkeypatch.setattr(TransformersSampler, "sample", None)
    found = opened_in(tmp_path / "out", benchmark)
    assert len(found.rows["sft"]) == 30
    # Read back, with nothing to do.
    assert opened_in(tmp_path / "out", benchmark).result() == found.result()


def test_another_check_of_languages_needs_no_answer_anew(benchmark):
    before, after = (
        of_stages(one.open(setting()).stages(SUBJECT), "v", {})
        for one in (benchmark, replace(benchmark, language_check=None))
    )
    assert before["answers/sft"] == after["answers/sft"]
    assert before["described/sft"] != after["described/sft"]


def test_given_answers_are_described_too(tmp_path, benchmark):
    class Theirs:
        def answers(self, prompts):
            return {(prompt.id, prompt.language): "" if prompt.language == "en" else "aha" for prompt in prompts}

    subject = Subject("theirs", answers=Theirs())
    figures = opened_in(tmp_path / "out", benchmark, subject).result().figures["theirs"]
    assert figures["empty_rate"] == {"mean": 0, "en": 100, "sw": 0}
    assert figures["characters"]["sw"] == 3
    assert "tokens" not in figures


def test_prompts_of_ones_own_are_read_as_those_of_a_run(tmp_path):
    write_files(tmp_path)
    given = PromptFiles(str(tmp_path / "prompts")).prompts(["en", "sw"], "test")
    assert [p.text for p in given.prompts] == ["Name a river.", "Name a hill.", "Taja mto.", "Taja kilima."]
    with pytest.raises(ConfigError, match="evaluation=parallel has no 'dev' split; its files hold test"):
        PromptFiles(str(tmp_path / "prompts")).prompts(["en"], "dev")
    with pytest.raises(DataError, match=r"evaluation\.prompts\.dir: the folder nowhere does not exist"):
        PromptFiles("nowhere").prompts(["en"], "test")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"prompts": None}, "takes the prompts of an evaluation, and there is none"),
        (
            {"sampling": {"tempratur": 1}},
            "sampling.tempratur is not a setting of TransformersSampler. Did you mean temp",
        ),
        ({"sampling": {"temperature": -1}}, "sampling: temperature must be"),
    ],
)
def test_bad_settings_are_a_sentence(benchmark, settings, words):
    with pytest.raises(ConfigError, match=words):
        replace(benchmark, **settings).open(setting())
