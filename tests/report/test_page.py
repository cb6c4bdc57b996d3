"""The page: untrusted text stays text, nothing is loaded, and a run may stop anywhere."""

import base64
import hashlib
import io
import json
import re
import shutil
from html.parser import HTMLParser
from urllib.parse import unquote

import pandas as pd
import pytest

from icr.errors import RunError
from icr.report import headline, open_run, samples, write_report
from icr.report.page import render
from icr.report.pages import script_json
from tests.report.fake_run import ATTACK, LANGUAGES, write_fake_run


class Tags(HTMLParser):
    """Collects every start tag with its attributes, and the text of each script and style."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.raw, self._open = [], {"script": [], "style": []}, None
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in self.raw:
            self._open = tag
            self.raw[tag].append("")

    def handle_endtag(self, tag):
        self._open = None if tag == self._open else self._open

    def handle_data(self, data):
        if self._open:
            self.raw[self._open][-1] += data


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    return write_fake_run(tmp_path_factory.mktemp("runs") / "full")


@pytest.fixture(scope="module")
def page(full):
    return write_report(full).read_text(encoding="utf-8")


@pytest.fixture
def copy(full, tmp_path):
    shutil.copytree(full, tmp_path / "copy")
    return tmp_path / "copy"


def test_model_text_cannot_become_markup(page):
    found = Tags(page)
    names = [tag for tag, _ in found.tags]
    assert names.count("script") == 2
    assert "img" not in names
    assert not [a for _, attrs in found.tags for a in attrs if a.startswith("on")]
    assert ATTACK not in page
    data = json.loads(found.raw["script"][0])
    texts = [r["text"] for p in data["rounds"]["0"]["bn"]["prompts"] for r in p["responses"]]
    assert ATTACK in texts
    assert "" in texts
    assert any("আম" in text for text in texts)


def test_the_script_of_the_page_writes_text_only_and_is_the_one_the_policy_allows(page):
    found = Tags(page)
    script = found.raw["script"][1]
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|Function\(", script)
    policy = next(a["content"] for tag, a in found.tags if tag == "meta" and "http-equiv" in a)
    assert f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" in policy
    assert "default-src 'none'" in policy


def test_nothing_is_loaded_from_anywhere(page):
    assert "http://" not in page
    assert "https://" not in page
    for tag, attrs in Tags(page).tags:
        for name in ("src", "href", "xlink:href", "data", "poster", "srcset", "action"):
            assert attrs.get(name, "#").startswith(("#", "data:,", "data:text/csv;")), (tag, attrs)
    assert not re.search(r"url\((?!#)|@import", page)


def test_ids_are_unique_over_all_figures(page):
    ids = [attrs["id"] for _, attrs in Tags(page).tags if "id" in attrs]
    assert len(ids) == len(set(ids))


SPOKEN = {
    "bn": ("তিনটি ফলের নাম লেখো।", "auto"),
    "th": ("เขียนชื่อผลไม้สามชนิด", "auto"),
    "ru": ("Назови три фрукта.", "auto"),
    "ar": ("اكتب أسماء ثلاث فواكه (3).", "rtl"),
}


def test_each_script_is_marked_by_its_language_and_direction(copy):
    answers = pd.DataFrame(
        {"id": ["a"] * 4, "language": list(SPOKEN), "prompt": [text for text, _ in SPOKEN.values()], "text": ATTACK,
         "opponent": "", "score": 1.0, "opponent_score": 0.5, "finish_reason": "stop"}
    )  # fmt: skip
    answers.to_parquet(copy / "evaluation/M1.parquet")
    page = write_report(copy).read_text(encoding="utf-8")
    for language, (text, direction) in SPOKEN.items():
        assert f'<div class="speech" lang="{language}" dir="{direction}">{text}</div>' in page
    assert ATTACK not in page
    style = Tags(page).raw["style"][0]
    assert all(f'"Noto Sans {script}"' in style for script in ("Bengali", "Thai", "Arabic"))


def test_every_plot_has_its_numbers_behind_it_and_says_what_they_show(page):
    links = [attrs for tag, attrs in Tags(page).tags if tag == "a" and "download" in attrs]
    names = ["win_rates", "accuracies", "rewards", "length_control_0", "length_control_1", "training"]
    assert [attrs["download"] for attrs in links] == [f"{name}.csv" for name in names]
    assert page.count('<svg role="img"') == page.count('<span class="says">') == len(names)
    for attrs in links:
        assert attrs["href"].startswith("data:text/csv;charset=utf-8,")
        frame = pd.read_csv(io.StringIO(unquote(attrs["href"].partition(",")[2])))
        assert len(frame.dropna(how="all")) > 10, attrs["download"]


def test_headline_and_every_section_are_there(page, full):
    assert re.fullmatch(
        r"SFT [\d.]+ → DPO-en [\d.]+ → M0 [\d.]+ → M1 [\d.]+: mean win rate over 7 target languages",
        headline(open_run(full).summary),
    )
    assert headline(open_run(full).summary) in page
    for section in ("results", "rewards", "length", "training", "counts", "samples", "answers", "settings"):
        assert f'<section id="{section}">' in page
    assert 'lang="bn" dir="auto"' in page
    assert len(page.encode()) < 3_000_000


def test_script_json_survives_what_ends_a_script():
    data = {"text": f"{ATTACK}\u2028\u2029&<!--<script>", "th": "มะม่วง"}
    text = script_json(data)
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == data
    with pytest.raises(ValueError, match="JSON compliant"):
        script_json([float("nan")])


def test_samples_are_joined_by_key_and_ordered_by_the_score_of_pairing(full):
    run = open_run(full)
    shelf = samples.collect(run)["rounds"][1]["th"]
    assert (shelf["total"], len(shelf["prompts"])) == (40, samples.PROMPTS)
    rewards = run.table(1, "rewards").set_index(["id", "language", "k"])
    pairs = run.table(1, "pairs").set_index(["id", "language"])
    alpha = run.length_control[1]["th"]["alpha"]
    for prompt in shelf["prompts"]:
        marks = {r["mark"]: r["k"] for r in prompt["responses"] if r["mark"]}
        pair = pairs.loc[(prompt["id"], "th")]
        assert marks == {"chosen": pair["chosen_k"], "rejected": pair["rejected_k"]}
        for response in prompt["responses"]:
            row = rewards.loc[(prompt["id"], "th", response["k"])]
            assert response["reward"] == pytest.approx(row["reward"], abs=1e-4)
            assert response["score"] == pytest.approx(row["reward"] - alpha * row["tokens"], abs=2e-4)
        scores = [r["score"] for r in prompt["responses"]]
        assert scores == sorted(scores, reverse=True)


def test_the_budget_is_shared_fairly_and_kept(full, monkeypatch):
    monkeypatch.setattr(samples, "BYTES", 60_000)
    rounds = samples.collect(open_run(full))["rounds"]
    counts = [len(shelf["prompts"]) for by in rounds.values() for shelf in by.values()]
    assert len(counts) == 2 * len(LANGUAGES)
    assert 1 <= min(counts) <= max(counts) <= min(counts) + 1
    assert len(json.dumps(rounds, ensure_ascii=False).encode()) < 66_000


def test_long_texts_are_cut_and_say_so():
    assert samples.clip("x" * 1500) == "x" * 1500
    assert samples.clip("x" * 3700).endswith(" … [2,200 more characters]")
    assert samples.clip(None) == ""
    assert samples.clip("a\ud800b") == "a?b"


def test_best_and_worst_are_by_score(full):
    run = open_run(full)
    found = samples.examples(run, ["sft", "M0", "M1", "M2"])
    assert found["model"] == "M1"
    assert found["languages"][0][0] == "es"
    assert found["languages"][-1][0] == "en"
    frame = run.evaluation("M1")
    for language, [(_, best), (_, worst)] in found["languages"]:
        scores = frame[frame["language"] == language]["score"]
        assert (best["score"], worst["score"]) == (scores.max(), scores.min())


def test_answers_of_a_judge_that_scores_none_stand_by_its_preference(tmp_path):
    run = open_run(write_fake_run(tmp_path / "run"))
    frame = run.evaluation("M1").assign(score=None, opponent_score=None)
    frame["preference"] = [None if language == "th" else n / len(frame) for n, language in enumerate(frame.language)]
    frame.to_parquet(run.directory / "evaluation/M1.parquet")
    found = dict(samples.examples(run, ["M1"])["languages"])
    assert "th" not in found
    spanish = frame[frame.language == "es"].preference
    assert [(label, row["preference"]) for label, row in found["es"]] == [
        ("best", spanish.max()),
        ("worst", spanish.min()),
    ]
    assert f"preference {spanish.max():.2f}" in render(run)


def test_a_run_without_a_judge_shows_rewards_and_counts(tmp_path):
    page = write_report(write_fake_run(tmp_path / "run", judge=False)).read_text(encoding="utf-8")
    assert "636 preference pairs in 8 languages over 2 rounds; no model judged." in page
    assert 'id="results"' not in page
    assert 'id="answers"' not in page
    for section in ("rewards", "length", "training", "counts", "samples"):
        assert f'<section id="{section}">' in page


GONE = [
    ["summary.json"],
    ["summary.json", "evaluation", "metrics.csv", "round_1"],
    ["summary.json", "evaluation", "metrics.csv", "round_1", "round_0/pairs.parquet", "round_0/length_control.json"],
    ["summary.json", "evaluation", "round_1", "round_0/pairs.parquet", "round_0/rewards.parquet"],
    ["summary.json", "evaluation", "metrics.csv", "round_0", "round_1"],
    ["round_0", "round_1", "config.yaml", "manifest.json", "metrics.csv"],
    ["evaluation"],
]


@pytest.mark.parametrize("gone", GONE, ids=" ".join)
def test_whatever_is_there_is_shown(copy, gone):
    for name in gone:
        path = copy / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    page = write_report(copy).read_text(encoding="utf-8")
    assert ("has no summary yet" in page) == ("summary.json" in gone)
    assert ('<section id="samples">' in page) == ("round_0" not in gone)


def test_counts_of_a_round_without_summary_come_from_its_tables(tmp_path):
    run = open_run(write_fake_run(tmp_path / "run", judge=False, summary=False, rounds=1))
    (entry,) = run.summary.rounds
    assert entry.prompts == dict.fromkeys(LANGUAGES, 40)
    assert entry.responses == dict.fromkeys(LANGUAGES, 400)
    assert entry.pairs == {**dict.fromkeys(LANGUAGES, 40), "en": 38}
    assert "+ not yet paired" in render(run)


def test_a_half_written_line_of_metrics_is_left_out(copy):
    with (copy / "metrics.csv").open("a") as file:
        file.write("1,18,0.5e")
    assert len(open_run(copy).metrics) == 35
    (copy / "metrics.csv").write_text("")
    assert 'id="training"' not in write_report(copy).read_text(encoding="utf-8")


def test_length_control_may_be_empty(copy):
    (copy / "round_0" / "length_control.json").write_text("{}")
    (copy / "round_1" / "length_control.json").unlink()
    assert 'id="length"' not in write_report(copy).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["summary.json", "round_0/pairs.parquet", "round_1/length_control.json"])
def test_a_broken_file_is_named(copy, name):
    (copy / name).write_text("{not this")
    with pytest.raises(RunError, match=re.escape(name)):
        write_report(copy)


def test_a_second_report_replaces_the_first_and_leaves_nothing_beside_it(copy):
    first = write_report(copy).read_bytes()
    assert write_report(copy).read_bytes() == first
    assert sorted(p.name for p in copy.iterdir() if "report" in p.name) == ["report.html"]
