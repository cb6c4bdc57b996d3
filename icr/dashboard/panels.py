"""What a panel shows, told without any library: the specification, the documentation and the tests read the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

Bounds: TypeAlias = tuple[float | None, float | None]
"""Lowest and highest value that is shown; None leaves an end open."""
OPEN: Bounds = (None, None)


@dataclass(frozen=True)
class Lines:
    """What was logged, along an axis; a line per key and run.

    Attributes:
        title: of the panel.
        keys: logged names.
        axis: the logged name that they are shown over.
        unit: of the values; `""` where they have none.
        bounds: of the values shown; small multiples share theirs.
    """

    title: str
    keys: Sequence[str]
    axis: str
    unit: str = ""
    bounds: Bounds = OPEN


@dataclass(frozen=True)
class Scatter:
    """A point per run: the last value of what was logged, over a setting.

    Attributes:
        title: of the panel.
        setting: key of the configuration, such as `loss.alpha`.
        figure: logged name.
    """

    title: str
    setting: str
    figure: str


@dataclass(frozen=True)
class Bars:
    """Last values as bars.

    Attributes:
        title: of the panel.
        figures: logged names.
        unit: of the values.
        setting: key of the configuration whose values the runs are grouped by, each with mean and standard error over
            its runs, such as those of several seeds; `""` gives each run its own bar.
    """

    title: str
    figures: Sequence[str]
    unit: str = ""
    setting: str = ""


@dataclass(frozen=True)
class Coordinates:
    """A line per run through an axis per setting and one per figure.

    Attributes:
        title: of the panel.
        settings: keys of the configuration.
        figures: logged names.
    """

    title: str
    settings: Sequence[str]
    figures: Sequence[str]


@dataclass(frozen=True)
class Importance:
    """How much each setting tells of the last value of a logged name.

    Attributes:
        title: in the documentation; W&B writes its own.
        figure: logged name.
    """

    title: str
    figure: str


@dataclass(frozen=True)
class Differences:
    """The settings and last values in which runs differ, side by side.

    Attributes:
        title: in the documentation; W&B writes its own.
    """

    title: str


@dataclass(frozen=True)
class LoggedTable:
    """The last table that each run logged under a name.

    Attributes:
        title: in the documentation; W&B writes its own.
        name: under which it is logged.
    """

    title: str
    name: str


Panel: TypeAlias = Lines | Scatter | Bars | Coordinates | Importance | Differences | LoggedTable


@dataclass(frozen=True)
class Section:
    """Panels that belong together.

    Attributes:
        name: by which the page of a sweep calls the same plots.
        about: what the panels show and how to read them; a paragraph of the report.
        panels: in the order in which they are shown.
    """

    name: str
    about: str
    panels: Sequence[Panel]


def logged_keys(panel: Panel) -> list[str]:
    """Logged names that a panel shows, its axis among them."""
    match panel:
        case Lines(keys=keys, axis=axis):
            return [axis, *keys]
        case Bars(figures=figures) | Coordinates(figures=figures):
            return [*figures]
        case Scatter(figure=figure) | Importance(figure=figure):
            return [figure]
        case LoggedTable(name=name):
            return [name]
        case Differences():
            return []


def setting_keys(panel: Panel) -> list[str]:
    """Keys of the configuration that a panel shows."""
    match panel:
        case Coordinates(settings=settings):
            return [*settings]
        case Scatter(setting=setting) | Bars(setting=setting) if setting:
            return [setting]
        case _:
            return []
