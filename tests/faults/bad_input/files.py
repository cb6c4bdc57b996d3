"""Files of prompts and examples that are not what they should be, by kind: what is in them, and what is said of it."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.faults.bad_input.attempt import Case, World

GOOD = [json.dumps({"instruction": text, "instruction_id": id}) for id, text in (("a", "Taja mto."), ("b", "Taja."))]
WHOLE = "\n".join(GOOD) + "\n"
DEEP = "[" * 100_000


def row(**fields: object) -> str:
    """A line with other fields than a good one."""
    return json.dumps({"instruction": "x", "instruction_id": "a", **fields}) + "\n"


def without(name: str) -> str:
    """A good line but for one field."""
    return json.dumps({key: value for key, value in json.loads(GOOD[0]).items() if key != name}) + "\n"


PROMPTS: dict[str, list[tuple[str | bytes, str]]] = {
    "digits without end": [
        ('{"instruction":"x","instruction_id":%s}\n' % ("9" * 5000), "line 1"),
        (GOOD[0] + "\n" + '{"instruction":"x","instruction_id":"b","more":-%s}\n' % ("9" * 5000), "line 2"),
    ],
    "lists in lists without end": [(DEEP, "line 1"), (row(more=1)[:-3] + DEEP, "line 1"), ('{"a":' * 50_000, "line 1")],
    "numbers that are none": [
        ('{"instruction":"x","instruction_id":NaN}\n', "instruction_id"),
        ('{"instruction":Infinity,"instruction_id":"a"}\n', "instruction"),
    ],
    "an id of another type": [
        *((row(instruction_id=value), "instruction_id") for value in (1.5, None, ["a"], {"a": 1}, "", "  ")),
        *((row(instruction_id=value), "'a'") for value in (True, 7)),  # An integer is an id: of no other language.
    ],
    "a text of another type": [
        (row(instruction=value), "instruction") for value in (3, None, ["x"], {"a": 1}, "", " \n")
    ],
    "no UTF-8": [
        *((WHOLE.encode(code), "sw.jsonl, line 1") for code in ("utf-16", "utf-16-le", "utf-32", "utf-7")[:3]),
        (GOOD[0].encode() + b'\n{"instruction":"caf\xe9","instruction_id":"b"}\n', "line 2: not UTF-8"),
        (gzip.compress(WHOLE.encode(), mtime=0), "sw.jsonl, line 1"),
    ],
    "half a character": [('{"instruction":"\\ud800","instruction_id":"a"}\n', "surrogate")],
    "two marks of byte order": [("\ufeff\ufeff" + WHOLE, "line 1")],
    "bytes of nothing": [(b"\0" * 1000, "line 1"), ("\0".join(GOOD), "line 1"), (WHOLE + "\0\0\n", "line 3")],
    "nothing": [("", "no prompts"), ("\n\n\n", "no prompts"), ("   ", "no prompts")],
    "another format": [
        *(("[" + ",".join(GOOD) + "]", "line 1"), ("instruction,id\nx,a\n", "line 1"), ("\r".join(GOOD), "line 1")),
        *(
            ("{'instruction':'x'}\n", "line 1"),
            ("\n".join(line + "," for line in GOOD), "line 1"),
            ("---\na: 1\n", "line 1"),
        ),
    ],
    "a line that is cut": [(WHOLE[:-10], "line 2"), (WHOLE[:20], "line 1"), (WHOLE + "{", "line 3")],
    "a line that is no object": [(text, "line 1") for text in ("3", "null", '"x"', "true", "[]", "NaN")],
    "a field that is missing": [
        *((without(name), name) for name in ("instruction", "instruction_id")),
        *((GOOD[0] + "\n{}\n", "line 2"), ('{"Instruction":"x","instruction_id":"a"}\n', "'instruction'")),
    ],
    "an id that comes twice": [(WHOLE + GOOD[0], "'a'"), (GOOD[0] + "\n" + GOOD[0], "line 2")],
    "ids of another set": [
        (row(instruction_id="z"), "'a'"),
        (GOOD[0], "'b'"),
        (WHOLE + row(instruction_id="c"), "'c'"),
    ],
}

Make = Callable[[Path], object]

PLACES: dict[str, list[tuple[Make, str]]] = {
    "a folder in place of a file": [(lambda file: (file.unlink(), file.mkdir()), "sw.jsonl")],
    "a link to nothing or itself": [
        (lambda file: (file.unlink(), file.symlink_to(file)), "sw.jsonl"),
        (lambda file: (file.unlink(), file.symlink_to("/nope")), "sw.jsonl"),
    ],
    "a file that never ends": [
        (lambda file: (file.unlink(), os.mkfifo(file)), "sw.jsonl"),
        (lambda file: (file.unlink(), file.symlink_to("/dev/zero")), "sw.jsonl"),
        (lambda file: (file.unlink(), file.symlink_to("/dev/null")), "sw.jsonl"),
    ],
    "a file that is missing": [
        (lambda file: file.unlink(), "sw.jsonl"),
        (lambda file: file.with_name("en.jsonl").unlink(), "en.jsonl"),
        (lambda file: shutil.rmtree(file.parent), "prompts"),
    ],
}

SETTINGS: dict[str, list[str]] = {
    "fields that no line has": ["data.text_field=text", "data.id_field=id", "data.text_field=", "data.text_field=3"],
    "what to do with a missing id": ["data.on_missing=x", "data.prompts_per_language=3"],
    "prompts that do not fit the context": ["sampling.max_new_tokens=10000"],
}

EXAMPLES: dict[str, list[tuple[str, str, str]]] = {
    "demonstrations": [
        *(("sft", text, "g.jsonl") for text in ("", DEEP, '{"prompt":"a"}\n', "3", '{"prompt":"a","response":""}\n')),
        ("sft", '{"prompt":["a"],"response":"b"}\n', "'prompt'"),
        ("sft", '{"prompt":"a","response":"b","language":3}\n', "'language'"),
        ("sft", '{"prompt":"a","response":"b","language":"xx"}\n', "langs.codes"),
        ("sft", '{"prompt":"a","response":%s}\n' % ("1" * 5000), "line 1"),
    ],
    "preferences": [
        *(("english_dpo", text, "g.jsonl") for text in ("", '{"prompt":"a","chosen":"b"}\n', '{"prompt":"a"')),
        ("english_dpo", '{"prompt":"a","chosen":"b","rejected":null}\n', "'rejected'"),
    ],
}


def cases() -> list[Case]:
    """Runs on such files."""
    made = [
        Case(kind, [*RUN, "data.dir={here}/prompts"], named, make=_prompts(content))
        for kind, rows in PROMPTS.items()
        for content, named in rows
    ]
    for kind, places in PLACES.items():
        made += [
            Case(kind, [*RUN, "data.dir={here}/prompts"], named, make=_prompts(WHOLE, change))
            for change, named in places
        ]
    for kind, rows in SETTINGS.items():
        named = {"data.text_field=text": "'text'", "data.id_field=id": "'id'", "data.text_field=": "''"}
        made += [Case(kind, [*RUN, setting], named.get(setting, "")) for setting in rows]
    for kind, examples in EXAMPLES.items():
        made += [Case(kind, _given(stage, kind), named, make=_file(text)) for stage, text, named in examples]
    made += [
        Case("a file of examples that is none", [*_given("sft", "demonstrations"), f"data.file={path}"], named)
        for path, named in (("/nope", "/nope"), ("{world}", "world"), ("", "file"))
    ]
    return made


RUN = World(Path("{world}")).run


def _given(stage: str, data: str) -> list[str]:
    pair = ["model.path={world}/policy", "model.reference={world}/reference"]
    return [
        f"stage={stage}",
        f"data={data}",
        *pair,
        "langs.codes=[en]",
        "trainer.accelerator=cpu",
        "data.file={here}/g.jsonl",
    ]


def _prompts(content: str | bytes, change: Make = lambda file: None) -> Callable[[Path, World], object]:
    def make(folder: Path, world: World) -> None:
        shutil.copytree(world.folder / "prompts", folder / "prompts")
        for name, text in (("en", WHOLE), ("sw", content)):
            (folder / f"prompts/{name}.jsonl").write_bytes(text if isinstance(text, bytes) else text.encode())
        change(folder / "prompts/sw.jsonl")

    return make


def _file(text: str) -> Callable[[Path, World], object]:
    return lambda folder, world: (folder / "g.jsonl").write_text(text)
