"""The documentation builds strictly, and neither its pages nor the README point at what is not there."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from dataclasses import fields

import hydra
import pytest

import icr
from icr.config import conf_dir
from icr.evaluation import JudgedResponse
from icr.metrics import Metric
from icr.types import PreferencePair, Response, ScoredResponse
from tests.docs.pages import PAGES, README, ROOT
from tests.keys import page as stage_keys
from tests.keys import settings as every

LINK = re.compile(r"\]\(((?!https?:)[^)\s]+)\)")


def anchors(text: str) -> set[str]:
    """Anchors of a page's headings, as they are made of their words."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    for link in LINK.findall(page.read_text("utf-8")):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if target.name == "win_rate.svg":
            target = ROOT / "experiments" / "demo" / "win_rate.svg"
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text("utf-8")), link


def test_every_page_is_in_the_menu():
    menu = (ROOT / "mkdocs.yml").read_text("utf-8")
    pages = {str(page.relative_to(ROOT / "docs")) for page in PAGES if page != README}
    assert pages == set(re.findall(r": ([\w/-]+\.md)$", menu, re.MULTILINE))


@pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="needs the extra docs")
def test_the_site_builds_strictly_and_asks_no_network(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    for html in tmp_path.rglob("*.html"):
        asked = re.findall(r"<(?:script|img|link|iframe)[^>]*(?:src|href)=\"?https?://[^>]*>", html.read_text("utf-8"))
        assert [tag for tag in asked if 'rel="canonical"' not in tag] == [], html.name


@pytest.mark.parametrize("row", [Response, ScoredResponse, PreferencePair, JudgedResponse])
def test_the_columns_of_tables_are_described(row):
    text = (ROOT / "docs" / "data-formats.md").read_text("utf-8")
    assert [field.name for field in fields(row) if f"`{field.name}`" not in text] == []


def test_the_names_of_the_package_are_listed():
    text = (ROOT / "docs" / "api" / "index.md").read_text("utf-8")
    cells = re.findall(r"^\| (`\w+`.*?) \|", text.partition("## From a notebook")[2], re.MULTILINE)
    listed = re.findall(r"`(\w+)`", " ".join(cells))
    assert sorted(listed) == sorted(icr.__all__)


def test_the_metrics_are_described():
    text = (ROOT / "docs" / "data-formats.md").read_text("utf-8")
    assert [metric for metric in Metric if f"`{metric}`" not in text] == []


def test_the_page_of_stage_keys_lists_every_setting(tmp_path):
    every.write_files(tmp_path)
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = every.composed([], tmp_path)
        known = {key for key in every.leaves(cfg) if every.changed(cfg, key, tmp_path) is not None}
    listed = set(re.findall(r"^\| `([^`]+)`", stage_keys.PAGE.read_text("utf-8"), re.MULTILINE))
    assert known - listed == set()


@pytest.mark.slow
def test_the_page_of_stage_keys_is_what_the_code_says():
    assert stage_keys.PAGE.read_text("utf-8") == stage_keys.page(), "run `python -m tests.keys.page`"
