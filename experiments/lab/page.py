"""The tables of a claim, written into its README between two marks, and the table of all claims."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from experiments.lab.arms import at
from experiments.lab.claim import Claim, Contrast, Point
from experiments.lab.markdown import between
from experiments.lab.markdown import table as markdown
from experiments.lab.statistics import Interval, interval, paired, verdict

WRITER = "experiments/run.py"


def differences(claim: Claim, table: pd.DataFrame) -> list[tuple[Contrast, Interval]]:
    """Each contrast with its paired difference over seeds."""
    return [
        (one, paired(_values(table, one.better, one.figure), _values(table, one.than, one.figure)))
        for one in claim.contrasts
    ]


def write(claim: Claim, table: pd.DataFrame, folder: Path) -> None:
    """Put the tables of this claim into its `README.md`, which is begun if there is none."""
    path = folder / "README.md"
    text = path.read_text(encoding="utf-8") if path.is_file() else f"# {claim.title}\n"
    tables = "\n\n".join(
        [
            f"Elsewhere: {claim.paper}. Here, over {_seeds(table)}:",
            "![every arm with intervals, and the differences that decide](plot.svg)",
            _decided(claim, table),
            f"Mean target win rate on test prompts, %, ± half a 95 % interval, by {claim.axis}:",
            _arms(claim, table),
            f"`make experiments ARGS={claim.name}` runs it; `results.csv` has every figure of each seed and language.",
        ]
    )
    path.write_text(between(text, tables, WRITER), encoding="utf-8")


def write_overview(home: Path, claims: Sequence[Claim]) -> None:
    """Put the table of all claims that have results into `README.md` of `home`."""
    rows = []
    for claim in claims:
        results = home / claim.name / "results.csv"
        if results.is_file():
            table = pd.read_csv(results, dtype={"arm": str})
            rows += list(_overview(claim, table))
    head = ["claim", "elsewhere", "here: difference in points, 95 % interval", "verdict"]
    path = home / "README.md"
    path.write_text(between(path.read_text(encoding="utf-8"), markdown(head, rows), WRITER), encoding="utf-8")


def _overview(claim: Claim, table: pd.DataFrame) -> Iterable[list[str]]:
    yield [f"**[{claim.title}]({claim.name})**", claim.paper, _seeds(table), ""]
    for one, difference in differences(claim, table):
        against = " (control)" if one.control else ""
        yield [f"{one.says}{against}", "", str(difference), verdict(difference)]


def _seeds(table: pd.DataFrame) -> str:
    count = table.seed.nunique()
    return f"{count} seeds" if count > 1 else "one seed"


def _decided(claim: Claim, table: pd.DataFrame) -> str:
    rows = [
        [
            f"{one.says}{' (control)' if one.control else ''}",
            str(difference),
            str(difference.seeds),
            verdict(difference),
        ]
        for one, difference in differences(claim, table)
    ]
    return markdown(["finding", "difference [95 % interval]", "seeds", "verdict"], rows)


def _arms(claim: Claim, table: pd.DataFrame) -> str:
    win_rates = table[(table.figure == "win_rate") & (table.language == "mean")]
    models = [
        model for model in dict.fromkeys(win_rates.model) if model.split()[-1] in (*claim.models, "sft", "dpo_en")
    ]
    models = sorted(
        models,
        key=lambda model: (model not in ("sft", "dpo_en"), model == "dpo_en", model.startswith("control"), model),
    )
    rows = [[arm, *(_cell(table, Point(arm, model)) for model in models)] for arm in claim.arms]
    return markdown([claim.axis, *models], rows)


def _cell(table: pd.DataFrame, point: Point) -> str:
    found = interval(list(_values(table, point, "win_rate").values()))
    if not found.seeds:
        return "–"
    return f"{found.mean:.1f} ± {found.high - found.mean:.1f}" if found.seeds > 1 else f"{found.mean:.1f} (one seed)"


def _values(table: pd.DataFrame, point: Point, figure: str) -> dict[int, float]:
    return at(table[table.arm == point.arm], point, figure)
