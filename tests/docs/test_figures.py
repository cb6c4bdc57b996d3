"""The page about figures has every figure."""

from icr.metrics import Figure
from tests.docs.pages import ROOT


def test_every_figure_is_in_the_table():
    page = (ROOT / "docs/figures.md").read_text(encoding="utf-8")
    assert [figure for figure in Figure if f"`{figure}`" not in page] == []
