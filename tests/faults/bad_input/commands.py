"""Mistakes in commands other than `icr run`, and in what they read."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from tests.faults.bad_input.attempt import Case, World
from tests.faults.bad_input.models import Change, cut, with_values, without, written

WORDS: dict[str, list[tuple[str, str]]] = {
    "a word that is none": [("exprot", "'exprot'"), ("--halp", "'--halp'"), ("loss=kto", "'loss=kto'"), ("x y", "'x'")],
    "a report without a run": [("report", "run"), ("report /nope", "/nope"), ("report {world}/prompts", "prompts")],
    "a report of a file": [("report {world}/prompts/en.jsonl", "en.jsonl"), ("report /dev/null", "/dev/null")],
    "a picture that is none": [
        ("report {world}/run --picture x.gif", "x.gif"),
        ("report {world}/run --picture x.svg", "no win rates"),
        ("report {world}/run --pic", "--pic"),
    ],
    "an export without a run": [
        *(("export", "run"), ("export /nope --to x", "/nope"), ("export {world}/prompts --to x", "prompts")),
        ("export {world}/policy --to x", "policy"),
    ],
    "an export to somewhere": [
        *(("export {world}/run", "--to"), ("export {world}/run --to {world}/prompts", "prompts")),
        ("export {world}/run --to {world}/prompts/en.jsonl", "en.jsonl"),
    ],
    "an export of no round": [
        *(("export {world}/run --to x --round 5", "5"), ("export {world}/run --to x --round a", "--round")),
        *(("export {world}/run --to x --round -1", "-1"), ("export {world}/begun --to x", "begun")),
    ],
    "an export in a way that is none": [
        *(
            ("export {world}/run --to x --private", "--private"),
            ("export {world}/run --to x --dtype float3", "--dtype"),
        ),
        *(("export {world}/run --to x --shard-size 5XB", "5XB"), ("export {world}/run --to x --shard-size -1", "-1")),
        ("export {world}/run --to x --nonsense", "--nonsense"),
    ],
    "a doctor's part that is none": [("doctor chek", "chek"), ("doctor doctor.only=x", "doctor.only")],
    "a doctor's number that is none": [
        *(
            (f"doctor plan doctor.{key}", f"doctor.{key.partition('=')[0]}")
            for key in ("pairs=nan", "pairs=2", "samples=-1")
        ),
        *((f"doctor plan doctor.{key}", f"doctor.{key.partition('=')[0]}") for key in ("prompts=0", "prompts=1e300")),
        *((f"doctor plan doctor.utilisation.{key}", "utilisation") for key in ("prefill=0", "prefill=nan", "nope=1")),
        ("doctor plan doctor.layer_seconds=inf", "doctor.layer_seconds"),
    ],
    "a doctor's device that is none": [
        ("doctor plan doctor.devices=[x]", "x"),
        ("doctor plan doctor.devices=x", "devices"),
    ],
    "a doctor's run": [
        *(("doctor check trainer.devices=0", "trainer.devices"), ("doctor plan loss.alpha=-1", "loss.alpha")),
        *(("doctor check loss.alhpa=1", "loss.alhpa"), ("doctor plan model.path=/nope made_for=null", "/nope")),
        *((f"doctor plan seed={'9' * 5000}", "seed"), ("doctor check trainer.devices=abc", "trainer.devices")),
    ],
}


def of_model(change: Change) -> Change:
    """The same in the model of a run."""
    return lambda run: change(run / "round_0/model")


RUNS: dict[str, list[tuple[Change, str]]] = {
    "an export of a damaged model": [
        *((of_model(cut(size)), "round_0") for size in (0, 100, 5000)),
        (of_model(without("model.safetensors")), "round_0"),
        (of_model(with_values("config.json", num_hidden_layers=3)), "round_0"),
        (lambda run: shutil.rmtree(run / "round_0/model"), "run"),
    ],
    "an export of a damaged run": [
        *((written("manifest.json", text), "manifest.json") for text in ("", "[]", "null")),
        (written("manifest.json", '{"format": 9}'), "format 9"),
        (written("config.yaml", "a: [b"), "config.yaml"),
    ],
}


def cases() -> list[Case]:
    """Commands, and what they have to name."""
    made = []
    for kind, rows in WORDS.items():
        for text, named in rows:
            word, *arguments = text.split(" ")
            made.append(Case(kind, arguments, named, word=word))
    for kind, changes in RUNS.items():
        made += [
            Case(kind, ["{here}/run", "--to", "{here}/out"], named, word="export", make=_run(change))
            for change, named in changes
        ]
    return made


def _run(change: Change) -> Callable[[Path, World], object]:
    return lambda folder, world: change(Path(shutil.copytree(world.folder / "run", folder / "run")))
