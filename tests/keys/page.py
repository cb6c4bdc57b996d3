"""Writes `docs/stage-keys.md`, the table setting → stage, from the code: `python -m tests.keys.page`."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import hydra
from omegaconf import DictConfig

from icr import config
from icr.rundir import Key
from tests.keys import settings as every

PAGE = Path(__file__).parents[2] / "docs" / "stage-keys.md"

ORDER = (
    "responses",
    "rewards",
    "length_control",
    "skipped",
    "diagnosis",
    "pairs",
    "model",
    "merged",
    "answers",
    "evaluation",
)
"""Stages in the order in which one follows from another."""

HEAD = """\
# Settings and stages

<!-- Written by `python -m tests.keys.page` from the code; a test compares. -->

Every [stage of a run](run-directory.md#stages-and-their-keys) has a key: its own settings and the versions of what it
is made of. This table says for each setting of `conf/` in the key of which stage it stands. All stages that are made
from that one change with it, and a run directory that holds any of them refuses another value. A setting that *changes
no number* is in no key: a run reopens with another value of it. Where a setting stands in several keys by itself, the
first in the order of a round comes first.

`length_control` and `skipped` are the choice of pairs: length control, gate and pairing are made together. A setting
that is marked with a choice, such as `loss=kto`, exists with that choice alone.
"""

NOTHING = "changes no number"


@dataclass(frozen=True)
class Row:
    """A setting, under which choice it was found, and the stages that have it in their key.

    Of a setting that changes no number there are none; `None` is a setting without effect under this choice.
    """

    setting: str
    choice: str
    stages: tuple[str, ...] | None

    def __str__(self) -> str:
        choice = f" (`{self.choice}`)" if self.choice else ""
        first, *others = [f"`{stage}`" for stage in self.stages] or [NOTHING]
        return f"| `{self.setting}`{choice} | {first} | {', '.join(others)} |"


def page() -> str:
    """The page as it should be."""
    groups: dict[str, list[Row]] = {}
    for row in rows():
        group = row.setting.partition(".")[0] if "." in row.setting else ""
        groups.setdefault(group, []).append(row)
    text = HEAD
    for group in sorted(groups):
        title = f"`{group}`" if group else "At the top"
        text += f"\n## {title}\n\n| setting | first stage | and by itself |\n|---|---|---|\n"
        text += "".join(f"{row}\n" for row in groups[group])
    return text


def rows() -> list[Row]:
    """One row per setting, and one more per choice with which it stands in another key first.

    Raises:
        ValueError: a setting is in no key, and not declared to change no number.
    """
    found: dict[str, list[Row]] = {}
    unknown: set[str] = set()
    with tempfile.TemporaryDirectory() as name, hydra.initialize_config_dir(str(config.conf_dir()), version_base="1.3"):
        files = Path(name)
        every.write_files(files)
        common = set(every.leaves(every.composed([], files)))
        for choice, overrides in every.COMPOSITIONS.items():
            for row in _of_choice(choice, every.composed(overrides, files), common, files):
                if row.stages is None:
                    unknown.add(row.setting)
                elif all(row.stages[:1] != other.stages[:1] for other in found.setdefault(row.setting, [])):
                    found[row.setting].append(row)
    if nowhere := unknown - set(found):
        raise ValueError(f"in no key, and not declared compare=False: {', '.join(sorted(nowhere))}")
    return [row for setting in sorted(found) for row in found[setting]]


def _of_choice(choice: str, cfg: DictConfig, common: set[str], files: Path) -> Iterator[Row]:
    """Rows of what only this choice has, and of its own group; of the first choice, which is none, of everything."""
    before, built = every.keys(cfg), config.build(cfg)
    for setting in every.leaves(cfg):
        if choice and setting in common and not setting.startswith(f"{choice.partition('=')[0]}."):
            continue
        if (new := every.changed(cfg, setting, files)) is None:
            continue
        incidental = every.declared_incidental(built, setting)
        stages = () if incidental else _stages(before, every.keys(new)) or None
        yield Row(setting, "" if setting in common else choice, stages)


def _stages(before: Mapping[str, Key], after: Mapping[str, Key]) -> tuple[str, ...]:
    """The stages whose keys change by themselves, and not because an earlier stage is another one."""
    versions = {key.version for keys in (before, after) for key in keys.values()}
    own = [stage for stage in every.changes(before, after) if _by_itself(before.get(stage), after.get(stage), versions)]
    names = dict.fromkeys(_general(stage) for stage in own)
    return tuple(sorted(names, key=lambda name: next(i for i, part in enumerate(ORDER) if part in name)))


def _by_itself(before: Key | None, after: Key | None, versions: set[str]) -> bool:
    if before is None or after is None or before.settings != after.settings:
        return True
    names = {*before.upstream, *after.upstream}
    changed = [(before.upstream.get(name), after.upstream.get(name)) for name in names]
    return any(old != new and not {old, new} <= versions for old, new in changed)


def _general(stage: str) -> str:
    stage = re.sub(r"^round_\d+", "round_<t>", stage)
    stage = re.sub(r"^answers/.*", "answers/<model>", stage)
    stage = re.sub(r"^evaluation/rewards_.*", "evaluation/rewards_<reward prompt>", stage)
    return re.sub(r"^evaluation/(?!rewards_).*", "evaluation/<model>", stage)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
