"""The sections as a workspace and a report of W&B's library, with ids that are the same every time."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import TypeAlias

from wandb_workspaces import expr
from wandb_workspaces.reports.v2 import interface as wr
from wandb_workspaces.workspaces import interface as ws

from icr.dashboard.outline import SEED
from icr.dashboard.panels import Bars, Coordinates, Differences, Importance, Lines, LoggedTable, Panel, Scatter, Section
from icr.dashboard.subject import Subject
from icr.metrics import Figure

COLUMNS, WIDTH, HEIGHT = 3, 8, 6
"""Panels side by side, and the size of each in a report, whose grid is 24 units wide."""
MOST_RUNS = 50
"""Runs that a panel shows."""

Drawn: TypeAlias = (
    wr.LinePlot
    | wr.ScatterPlot
    | wr.BarPlot
    | wr.ParallelCoordinatesPlot
    | wr.ParameterImportancePlot
    | wr.RunComparer
    | wr.WeavePanelSummaryTable
)
"""What the library makes of a panel of ours."""


def workspace(subject: Subject, sections: Sequence[Section]) -> ws.Workspace:
    """The workspace, which is not saved yet."""
    return ws.Workspace(
        entity=subject.entity,
        project=subject.project,
        name=title(subject),
        sections=[_workspace_section(section, number) for number, section in enumerate(sections)],
        settings=ws.WorkspaceSettings(max_runs=MOST_RUNS),
        runset_settings=ws.RunsetSettings(
            filters=_filter(subject),
            groupby=[expr.Config(key) for key in _repeated(subject)],
            pinned_columns=[*map(_config_column, subject.swept), f"summary:{Figure.WIN_RATE.logged}"],
        ),
    )


def report(subject: Subject, sections: Sequence[Section]) -> wr.Report:
    """The report, which is not saved yet: each section's paragraph, and its panels."""
    blocks: list[wr.BlockTypes] = [wr.TableOfContents()]
    for section in sections:
        blocks += [wr.H2(section.name), wr.P(section.about), _grid(subject, section)]
    return wr.Report(
        project=subject.project,
        entity=subject.entity,
        title=title(subject),
        description=f"Implicit cross-lingual rewarding in {', '.join(subject.languages)}.",
        blocks=blocks,
        width="fluid",
    )


def title(subject: Subject) -> str:
    """What workspace and report are called."""
    named = f"icr: {subject.group or subject.project}"
    return re.sub(r"[^\w\s.,:()/-]", "_", named)[:128]  # The library takes the rest for emojis.


def _workspace_section(section: Section, number: int) -> ws.Section:
    rows = -(-len(section.panels) // COLUMNS)
    return ws.Section(
        name=section.name,
        panels=[_drawn(panel, "workspace", section, place) for place, panel in enumerate(section.panels)],
        is_open=number == 0,
        layout_settings=ws.SectionLayoutSettings(columns=COLUMNS, rows=rows),
    )


def _grid(subject: Subject, section: Section) -> wr.PanelGrid:
    # A run set without a project is the report's own: one with it would be asked for at the server.
    runs = wr.Runset(
        filters=_filter(subject),
        groupby=[f"config.{key}" for key in _repeated(subject)],
    )
    runs._id = _identity("runs", section.name)
    return wr.PanelGrid(
        runsets=[runs],
        panels=[_drawn(panel, "report", section, place) for place, panel in enumerate(section.panels)],
    )


def _filter(subject: Subject) -> str:
    """The runs that are shown, as the library reads it: as code, whose operators it replaces in names, too."""
    if not subject.group:
        return ""
    name = "".join(letter if letter.isalnum() else f"\\U{ord(letter):08x}" for letter in subject.group)
    return f"Metric('Group') == '{name}'"


def _repeated(subject: Subject) -> list[str]:
    """Settings by which runs are grouped, where a sweep repeats its jobs with several seeds."""
    return [key for key in subject.swept if key != SEED] if SEED in subject.swept else []


def _drawn(panel: Panel, where: str, section: Section, place: int) -> Drawn:
    made = _made(panel)
    made.layout = wr.Layout(x=place % COLUMNS * WIDTH, y=place // COLUMNS * HEIGHT, w=WIDTH, h=HEIGHT)
    made._id = _identity(where, section.name, panel.title)
    return made


def _made(panel: Panel) -> Drawn:
    match panel:
        case Lines():
            return wr.LinePlot(
                title=panel.title,
                x=panel.axis,
                y=[*panel.keys],
                title_x=panel.axis.replace("_", " "),
                title_y=panel.unit or None,
                range_y=panel.bounds,
                max_runs_to_show=MOST_RUNS,
            )
        case Scatter():
            figure = wr.SummaryMetric(panel.figure)
            return wr.ScatterPlot(title=panel.title, x=wr.Config(panel.setting), y=figure)
        case Bars(setting=""):
            return wr.BarPlot(
                title=panel.title, metrics=[*panel.figures], title_x=panel.unit or None, max_runs_to_show=MOST_RUNS
            )
        case Bars():
            return wr.BarPlot(
                title=panel.title,
                metrics=[*panel.figures],
                title_x=panel.unit or None,
                groupby=wr.Config(panel.setting),
                groupby_aggfunc="mean",
                groupby_rangefunc="stderr",
                max_runs_to_show=MOST_RUNS,
            )
        case Coordinates():
            settings = [wr.ParallelCoordinatesPlotColumn(metric=wr.Config(key)) for key in panel.settings]
            figures = [wr.ParallelCoordinatesPlotColumn(metric=wr.SummaryMetric(key)) for key in panel.figures]
            return wr.ParallelCoordinatesPlot(title=panel.title, columns=[*settings, *figures])
        case Importance():
            return wr.ParameterImportancePlot(with_respect_to=panel.figure)
        case Differences():
            return wr.RunComparer(diff_only="split")
        case LoggedTable():
            return wr.WeavePanelSummaryTable(table_name=panel.name)


def _config_column(key: str) -> str:
    """A setting as a table of runs names it."""
    first, *rest = key.split(".")
    return ".".join([f"config:{first}", "value", *rest])


def _identity(*names: str) -> str:
    """An id that is the same whenever the same panel is drawn, so that specifications can be compared."""
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:12]
