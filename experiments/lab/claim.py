"""A claim as a file: the arms that it compares, and which model should be better than which."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import yaml

STANDARD = ("controls=standard",)
"""The arm that most claims compare with: the method as it is, and both controls as many rounds."""


class Arm(NamedTuple):
    """Runs that differ in their seeds alone.

    Attributes:
        world: whose starting models they begin with, one of `worlds.WORLDS`.
        overrides: of the command, such as `["loss.alpha=0"]`.
        measured: overrides with which its models are measured once more, such as `["evaluation.n=8"]`; the figures that
            this gives are in place of the run's own.
    """

    world: str
    overrides: tuple[str, ...]
    measured: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        """Where its runs lie: claims that have the same arm share it."""
        name = "standard" if self.overrides == STANDARD else "_".join(self.overrides)
        return f"{self.world}/" + re.sub(r"[^\w.-]+", "-", name)


class Point(NamedTuple):
    """A model of an arm, such as `standard / M1`, or `standard / M1 [bn sw th]`: its mean over some languages alone."""

    arm: str
    model: str
    languages: tuple[str, ...] = ("mean",)

    @classmethod
    def parse(cls, text: str) -> Point:
        """From `arm / model` or `arm / model [languages]`."""
        head, _, languages = text.partition("[")
        arm, _, model = head.partition(" / ")
        return cls(arm.strip(), model.strip(), tuple(languages.rstrip("] ").split()) or ("mean",))

    def __str__(self) -> str:
        where = "" if self.languages == ("mean",) else f" [{' '.join(self.languages)}]"
        return f"{self.arm} / {self.model}{where}"


@dataclass(frozen=True)
class Contrast:
    """Something that the paper found, or that a control could take away.

    Attributes:
        says: in words.
        better, than: what should have the higher figure.
        figure: of the models, one of `icr.metrics.Figure`.
        control: whether `than` is a control.
    """

    says: str
    better: Point
    than: Point
    figure: str = "win_rate"
    control: bool = False


@dataclass(frozen=True)
class Claim:
    """What a folder of experiments is about.

    Attributes:
        name: of its folder.
        title: one line.
        paper: what the paper, or another source, measured.
        axis: what the arms differ in.
        arms: by name, in the order of the picture.
        contrasts: those that decide, first.
        models: shown for each arm.
    """

    name: str
    title: str
    paper: str
    axis: str
    arms: dict[str, Arm]
    contrasts: list[Contrast]
    models: list[str] = field(default_factory=lambda: ["M0", "M1"])


def read(folder: Path) -> Claim:
    """The claim of a folder, from its `claim.yaml`.

    Raises:
        SystemExit: a contrast names an arm that the claim has not.
    """
    document = yaml.safe_load((folder / "claim.yaml").read_text(encoding="utf-8"))
    world = document.pop("world", "clean")
    arms = {str(name): _arm(arm, world) for name, arm in document.pop("arms").items()}
    contrasts = [
        Contrast(**{**entry, "better": Point.parse(entry["better"]), "than": Point.parse(entry["than"])})
        for entry in document.pop("contrasts")
    ]
    for point in [point for contrast in contrasts for point in (contrast.better, contrast.than)]:
        if point.arm not in arms:
            raise SystemExit(f"{folder / 'claim.yaml'}: {point} names no arm. Arms: {', '.join(arms)}.")
    return Claim(name=folder.name, arms=arms, contrasts=contrasts, **document)


def _arm(arm: str | list[str], world: str) -> Arm:
    """`standard`, or overrides; first words `in <world>` and `measured: <override>` are no overrides of the runs."""
    words, measured = [arm] if isinstance(arm, str) else list(arm), []
    while words and (found := re.fullmatch(r"(in|measured:) (\S+)", words[0])):
        if found[1] == "in":
            world = found[2]
        else:
            measured.append(found[2])
        words.pop(0)
    return Arm(world, STANDARD if words == ["standard"] else tuple(words), tuple(measured))
