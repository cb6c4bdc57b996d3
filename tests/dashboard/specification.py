"""What a dumped specification plots, found by walking the JSON rather than by asking who wrote it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

UNKEYED = {"Run Comparer"}
"""Panels of W&B that choose their keys themselves."""


@dataclass
class Plotted:
    """Keys by where W&B looks for them.

    Attributes:
        history: names that runs log over time, axes among them.
        summary: names whose last value is shown.
        tables: names of tables.
        config: settings, dotted as in `conf/`.
    """

    history: set[str] = field(default_factory=set)
    summary: set[str] = field(default_factory=set)
    tables: set[str] = field(default_factory=set)
    config: set[str] = field(default_factory=set)


def panels(document: Any) -> Iterator[dict[str, Any]]:
    """Every panel, wherever it lies."""
    if isinstance(document, dict):
        if "viewType" in document:
            yield document
        document = list(document.values())
    if isinstance(document, list):
        for part in document:
            yield from panels(part)


def lines(document: Any) -> Iterator[tuple[str, list[str]]]:
    """Axis and metrics of every line plot."""
    for panel in panels(document):
        if panel["viewType"] == "Run History Line Plot":
            yield panel["config"]["xAxis"], panel["config"]["metrics"]


def plotted(document: Any) -> Plotted:
    """All keys of all panels."""
    found = Plotted()
    for panel in panels(document):
        settings, kind = panel["config"], panel["viewType"]
        match kind:
            case "Run History Line Plot":
                found.history |= {settings["xAxis"], *settings["metrics"]}
            case "Bar Chart":
                found.summary |= {*settings["metrics"]}
                found.config |= {_setting(settings["groupBy"])} if "groupBy" in settings else set()
            case "Scatter Plot":
                _add(found, settings["xAxis"], settings["yAxis"])
            case "Parallel Coordinates Plot":
                _add(found, *(column["accessor"] for column in settings["columns"]))
            case "Weave":
                (key,) = re.findall(r'"type": "string", "val": "(.*?)"', json.dumps(settings))
                found.tables.add(key)
            case "Parameter Importance":
                found.summary.add(settings["targetKey"])
            case _:
                assert kind in UNKEYED, f"a panel whose keys nobody has looked for: {kind}"
    return found


def _add(found: Plotted, *names: str) -> None:
    for name in names:
        place, _, key = name.partition(":")
        if place == "config":
            found.config.add(_setting(key))
        else:
            assert place == "summary", name
            found.summary.add(key)


def _setting(key: str) -> str:
    """`loss.alpha` of `loss.value.alpha`: W&B keeps the value of each setting at the top under this name."""
    top, value, *rest = key.split(".")
    assert value == "value", key
    return ".".join([top, *rest])
