"""A sweep's page: every job is there, nothing is loaded, untrusted text stays text, and sentences say what is drawn."""

import io
import subprocess
import sys
import time
from urllib.parse import unquote

import pandas as pd
import pytest
from rich.console import Console

from icr.report.sweep import print_sweep, write_sweep
from icr.report.sweep.jobs import open_jobs
from icr.report.sweep.points import points
from icr.report.sweep.win_rates import by_language, over_key
from icr.rundir.sweeps import Job, Status
from tests.report.sweep.fake_sweep import LANGUAGES, add, write_sweep_of
from tests.report.test_page import Tags

ATTACK = "<script>alert(1)</script>"
AXES = {"loss.alpha": ["0", "0.5", "1"], "seed": ["0", "1", "2"]}


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    made = write_sweep_of(tmp_path_factory.mktemp("sweeps") / "alphas", AXES)
    failed = Job(9, "9_job", {"loss.alpha": "2", "seed": "0"}, Status.FAILED, f"{ATTACK} ভুল কোড خطأ ошибка", 3.0)
    killed = Job(10, "10_job", {"loss.alpha": "2", "seed": "1"}, Status.KILLED, "ended by SIGKILL", 4.0)
    return add(made, failed, killed, Job(11, "11_job", {"loss.alpha": "2", "seed": "2"}))


@pytest.fixture(scope="module")
def page(sweep):
    return write_sweep(sweep).read_text(encoding="utf-8")


def test_every_job_is_there_with_its_status_and_a_link_to_its_page(sweep, page):
    links = [attrs["href"] for tag, attrs in Tags(page).tags if tag == "a"]
    assert [link for link in links if link.endswith("report.html")] == [f"{n}_job/report.html" for n in range(9)]
    assert all((sweep.directory / link).is_file() for link in links if link.endswith(("report.html", ".csv")))
    assert "12 jobs, 9 finished, 1 failed, 1 killed, 1 missing." in page
    for reason in ("ended by SIGKILL", "it has left no folder", "ভুল কোড خطأ ошибка"):
        assert f"{reason}</p>" in page


def test_text_cannot_become_markup_and_nothing_is_loaded(page):
    found = Tags(page)
    assert ATTACK not in page
    assert "&lt;script&gt;" in page
    assert not [tag for tag, _ in found.tags if tag in ("script", "img", "iframe")]
    assert not [name for _, attrs in found.tags for name in attrs if name.startswith("on")]
    assert "http://" not in page
    assert "https://" not in page
    policy = next(attrs["content"] for tag, attrs in found.tags if tag == "meta" and "http-equiv" in attrs)
    assert "default-src 'none'" in policy
    ids = [attrs["id"] for _, attrs in found.tags if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_overrides_are_escaped_wherever_they_stand(tmp_path):
    values = [ATTACK, "$x_{$ \\frac", "বাংলা"]
    made = write_sweep_of(tmp_path / "sweep", {"name": values}, rate=lambda overrides: 50.0 + len(overrides["name"]))
    page = write_sweep(made).read_text(encoding="utf-8")
    assert ATTACK not in page
    assert not [tag for tag, _ in Tags(page).tags if tag == "script"]
    svg = page[page.index('<section id="over">') : page.index('<section id="languages">')]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;<" in svg
    assert "$x_{$ \\frac<" in svg
    assert "বাংলা<" in svg


def test_each_plot_has_its_numbers_and_a_sentence_made_of_them(page):
    found = Tags(page)
    data = {a["download"]: a["href"] for tag, a in found.tags if tag == "a" and "download" in a}
    assert list(data) == ["over-0.csv", "languages-0.csv", "pairs.csv", "training.csv", "alarms.csv"]
    assert page.count('<span class="says">') == page.count("<svg") == len(data)
    frames = {
        name: pd.read_csv(io.StringIO(unquote(href.removeprefix("data:text/csv;charset=utf-8,"))))
        for name, href in data.items()
    }
    over = frames["over-0.csv"]
    last = over[over["model"] == "M0"].set_index("loss.alpha")
    assert last["win_rate"].tolist() == pytest.approx([50.5, 54.5, 58.5])
    # s = 0.5 over three seeds, t = 4.303: 4.303 · 0.5 / √3.
    assert last["half_interval"].tolist() == pytest.approx([1.2422] * 3, abs=1e-3)
    assert "Highest at α = 1: 58.5 ± 1.2; α = 0.5 is 4.0 ± 0.0 lower; α = 0 is 8.0 ± 0.0 lower. " in page
    assert "Bars are 95 % intervals over 3 seeds (Student&#39;s t)." in page
    assert set(frames["languages-0.csv"]["language"]) == set(LANGUAGES)


def test_the_table_holds_every_figure_by_job_keys_model_and_language(sweep, page):
    table = pd.read_csv(sweep.directory / "sweep.csv")
    assert list(table.columns) == [
        *("job", "folder", "status", "loss.alpha", "seed", "model", "kind", "round", "control", "language", "figure"),
        "value",
    ]
    row = table[(table.job == 4) & (table.model == "M0") & (table.language == "th") & (table.figure == "win_rate")]
    assert row["value"].tolist() == [50.0 + 4.0 + 0.5 + 6.0]
    assert (row["loss.alpha"].item(), row["seed"].item()) == (0.5, 1)
    pairs = table[(table.job == 0) & (table.figure == "pairs/chosen_tokens")]
    assert dict(zip(pairs["language"], pairs["value"], strict=True)) == dict.fromkeys(LANGUAGES, 14.0)
    assert table[table.job > 8][["job", "status"]].to_numpy().tolist() == [
        [9, "failed"],
        [10, "killed"],
        [11, "missing"],
    ]


def test_one_seed_takes_the_errors_of_its_own_evaluation_and_says_so(tmp_path):
    page = write_sweep(write_sweep_of(tmp_path / "s", {"loss.alpha": ["0", "1"]})).read_text(encoding="utf-8")
    assert "Highest at α = 1: 58.0 ± 2.9; α = 0 is 8.0 lower." in page
    assert "Bars are of one seed&#39;s evaluation, 1.96 standard errors over its prompts" in page


def test_of_several_keys_one_is_the_axis_another_the_series_and_further_ones_panels(tmp_path):
    axes = {"loss.alpha": ["0", "1"], "loss": ["dpo", "kto"], "sampling.n": ["2", "4"]}
    jobs = open_jobs(write_sweep_of(tmp_path / "s", axes))
    found = points(jobs)
    drawn = over_key(jobs, found, "loss.alpha", 0)
    for text in (">loss = dpo<", ">loss = kto<", ">K = 2<", ">K = 4<", ">α<"):
        assert text in drawn.svg, text
    assert "At loss = kto, K = 4: highest at α = 1: 58.0 ± 2.9; α = 0 is 8.0 lower." in drawn.says
    named = over_key(jobs, found, "loss", 1)
    for text in (">dpo<", ">kto<", ">α = 0<", ">K = 2<"):
        assert text in named.svg, text
    assert not by_language(jobs, found, "loss.alpha", 0)


def test_a_sweep_over_seeds_alone_shows_its_models(tmp_path):
    page = write_sweep(write_sweep_of(tmp_path / "s", {"seed": ["0", "1", "2", "3"]})).read_text(encoding="utf-8")
    assert "M0: Highest at all settings: 50.8 ± 1.0." in page
    assert ">DPO-en<" in page


def test_nothing_finished_is_said_and_nothing_is_drawn(tmp_path):
    (tmp_path / "s").mkdir()
    made = write_sweep_of(tmp_path / "s", {"loss.alpha": []})
    made = add(made, *(Job(n, f"{n}_job", {"loss.alpha": f"{n}"}) for n in range(2)))
    page = write_sweep(made).read_text(encoding="utf-8")
    assert "2 jobs, all missing." in page
    assert "<svg" not in page
    assert 'id="without"' in page


def test_a_damaged_run_is_named_and_stops_no_other(tmp_path):
    made = write_sweep_of(tmp_path / "s", {"loss.alpha": ["0", "1"]})
    (tmp_path / "s/0_job/summary.json").write_text("{not this")
    page = write_sweep(made).read_text(encoding="utf-8")
    assert "0_job/summary.json is not JSON" in page
    assert "1 of 2 jobs have no result" in page


def test_alarms_ring_where_a_limit_is_passed(tmp_path):
    made = write_sweep_of(tmp_path / "s", {"loss.alpha": ["0", "1"]}, fall=-3.0)
    page = write_sweep(made).read_text(encoding="utf-8")
    assert "in at least one language: chosen log-prob in 2 of 2 jobs." in page
    # The last quarter of 12 steps: 9, 10, 11 of -3 · step / 11.
    assert "nats on average: −2.73 at worst (job 0)" in page


def test_the_terminal_has_the_jobs_the_reasons_and_the_headline(sweep):
    console = Console(width=100, file=io.StringIO())
    print_sweep(sweep, console)
    text = console.file.getvalue()
    assert "4 · α = 0.5, seed = 1" in text
    assert "job 10 (α = 2, seed = 1) killed: ended by SIGKILL" in text
    assert "12 jobs, 9 finished, 1 failed, 1 killed, 1 missing." in text
    assert ATTACK in text  # Printed as it is, without Rich's markup.


def test_fifty_jobs_take_seconds(tmp_path):
    axes = {"loss.alpha": ["0", "0.25", "0.5", "1", "2"], "sampling.n": ["2", "4"], "seed": list("01234")}
    made = write_sweep_of(tmp_path / "s", axes, steps=200)
    began = time.process_time()
    page = write_sweep(made)
    assert time.process_time() - began < 15
    assert page.stat().st_size < 2_000_000


def test_a_page_is_written_without_torch(sweep):
    program = (
        "import sys; from pathlib import Path; from icr.report.__main__ import main; assert main(sys.argv[1:]) == 0; "
        "print({'torch', 'transformers', 'lightning', 'hydra'} & sys.modules.keys())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(sweep.directory)], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "set()"
