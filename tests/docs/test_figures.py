"""The page about figures has every figure, and that about tracking what else is logged."""

from icr.metrics import Figure, PairMetric
from icr.tracking import Alerts
from tests.docs.pages import ROOT


def test_every_figure_is_in_the_table():
    page = (ROOT / "docs/figures.md").read_text(encoding="utf-8")
    assert [figure for figure in Figure if f"`{figure}`" not in page] == []


def test_what_is_logged_of_pairs_and_what_alerts_is_on_the_page_about_tracking():
    page = (ROOT / "docs/tracking.md").read_text(encoding="utf-8")
    assert [metric for metric in PairMetric if f"`{metric}`" not in page] == []
    assert [name for name, value in vars(Alerts()).items() if f"`{name}: {value}`" not in page] == []
