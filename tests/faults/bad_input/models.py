"""Folders of models that are not what they should be, by kind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import torch

from tests.faults.bad_input.attempt import Case, World
from tests.faults.bad_input.files import RUN

WEIGHTS, INDEX, ADAPTER = "model.safetensors", "model.safetensors.index.json", "adapter_config.json"
DEEP = '{"a":' + "[" * 100_000 + "]" * 100_000 + "}"

Change = Callable[[Path], object]


def written(name: str, content: str | bytes) -> Change:
    """The file holds something else."""
    return lambda model: (model / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def with_values(name: str, **values: object) -> Change:
    """The JSON file has other values."""
    return lambda model: (model / name).write_text(json.dumps({**json.loads((model / name).read_text()), **values}))


def cut(size: int) -> Change:
    """The weights end after so many bytes."""
    return lambda model: (model / WEIGHTS).write_bytes((model / WEIGHTS).read_bytes()[:size])


def without(name: str, *others: Change) -> Change:
    """The file is gone, and others are made."""
    return lambda model: ((model / name).unlink(), [other(model) for other in others])


def adapter(**values: object) -> Change:
    """An adapter's configuration in place of the model's."""
    return without("config.json", written(ADAPTER, json.dumps(values)))


def head(header: bytes, size: int | None = None) -> bytes:
    """A file of weights with this head, which says that it is of that size."""
    return (len(header) if size is None else size).to_bytes(8, "little") + header


LIE = json.dumps({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 4]}}).encode()

ROWS: dict[str, list[Change]] = {
    "a configuration that is no JSON": [
        *(written("config.json", text) for text in (b"\0\xff\1", "", '{"a":', DEEP, "{'a': 1}")),
    ],
    "a configuration that is no object": [written("config.json", text) for text in ("[]", "null", '"x"', "3", "{}")],
    "a configuration of no model": [
        *(with_values("config.json", model_type=value) for value in ("nope", 3, "", None)),
        with_values("config.json", model_type="nope", auto_map={"AutoModelForCausalLM": "x.Y"}),
    ],
    "sizes that are none": [
        *(with_values("config.json", hidden_size=value) for value in (-1, "x", None, 1.5, [1])),
        *(with_values("config.json", num_attention_heads=value) for value in (0, "x", 7)),
        *(with_values("config.json", num_hidden_layers=value) for value in ("x", None, 1.5)),
        *(with_values("config.json", vocab_size=value) for value in ("x", float("nan"))),
        *(with_values("config.json", max_position_embeddings=value) for value in (0, -1, "x", None)),
    ],
    "numbers of another type": [
        with_values("config.json", rms_norm_eps="x"),
        with_values("config.json", dtype="float3"),
    ],
    "digits without end": [written("config.json", '{"model_type":"llama","vocab_size":%s}' % ("9" * 5000))],
    "a tokenizer that is none": [
        written("tokenizer.json", text) for text in (b"\0\xff", "", "[]", "null", "{}", '"x"', DEEP)
    ],
    "settings of a tokenizer that are none": [
        *(written("tokenizer_config.json", text) for text in (b"\0\xff", "", "[]", "null", '"x"', '{"a":', DEEP)),
        with_values("tokenizer_config.json", eos_token=5),
        written("added_tokens.json", "[]"),
    ],
    "a tokenizer without what it needs": [
        without("tokenizer.json"),
        without("chat_template.jinja"),
        with_values("tokenizer_config.json", eos_token=None),
        with_values("tokenizer_config.json", pad_token=None),
    ],
    "weights that are cut": [cut(size) for size in (0, 4, 8, 100, 5000)],
    "weights that are none": [
        *(
            written(WEIGHTS, content)
            for content in (b"x" * 9000, b"\0" * 100, b"\xff" * 8 + b"{}", "version https://git-lfs\n")
        ),
        without(WEIGHTS, lambda model: (model / WEIGHTS).mkdir()),
    ],
    "weights that lie": [
        *(written(WEIGHTS, content) for content in (head(LIE) + b"1234", head(b"{}", 2**62), head(b"[" * 100_000))),
        written(WEIGHTS, head(b'{"a":{"dtype":"F3","shape":[1],"data_offsets":[0,4]}}') + b"1234"),
    ],
    "weights that are not there": [
        without(WEIGHTS),
        without(WEIGHTS, lambda model: torch.save({}, model / "pytorch_model.bin")),
        without(WEIGHTS, written(INDEX, '{"weight_map":{"a":"model-00001-of-00002.safetensors"}}')),
        without(WEIGHTS, written(INDEX, '{"weight_map":{"a":"../../nope"}}')),
    ],
    "an index that is none": [without(WEIGHTS, written(INDEX, text)) for text in ("[]", "{}", "", "null", DEEP)],
    "a folder that is no model": [without("config.json"), lambda model: [file.unlink() for file in model.iterdir()]],
    "an adapter that is none": [
        without("config.json", written(ADAPTER, text)) for text in ("", "[]", "null", "{}", DEEP)
    ],
    "an adapter on nothing": [adapter(base_model_name_or_path=path) for path in ("/nope", 3, "", ["x"])],
}

FOUND_IN_LOADING: dict[str, list[Change]] = {
    "another number of layers": [with_values("config.json", num_hidden_layers=value) for value in (0, 2)],
    "other shapes": [
        *(with_values("config.json", intermediate_size=value) for value in (0, -1, 31)),
        *(with_values("config.json", vocab_size=value) for value in (0, -1, 300)),
    ],
    "parts that are none": [
        with_values("config.json", hidden_act="nope"),
        with_values("config.json", rope_parameters={"rope_type": "nope"}),
        written("generation_config.json", "[]"),
    ],
}

LOADING: dict[str, list[str]] = {
    "a way to load that is none": [
        *("model.loader.attn_implementation=nope", "model.loader.attn_implementation=flash_attention_2"),
        *("model.loader.dtype=float8_e4m3fn", "adapter=lora adapter.target_modules=[nope]"),
    ],
}


def cases() -> list[Case]:
    """Runs with such a policy, with such a reference, and what `icr doctor check` says of one."""
    made = []
    for begins, table in ((False, ROWS), (True, FOUND_IN_LOADING)):
        for kind, changes in table.items():
            made += [
                Case(kind, [*RUN, "model.path={here}/model"], "here/model", make=_model(c), begins=begins)
                for c in changes
            ]
    for kind in ("weights that are cut", "weights that are not there", "a tokenizer that is none"):
        made += [
            Case(f"{kind}: the reference's", [*RUN, "model.reference={here}/model"], "here/model", make=_model(change))
            for change in ROWS[kind]
        ]
    for kind, rows in LOADING.items():
        named = {
            "adapter=lora adapter.target_modules=[nope]": "adapter.target_modules",
            "model.loader.dtype=float8_e4m3fn": "model.loader.dtype",
        }
        made += [Case(kind, [*RUN, *row.split()], named.get(row, "policy"), begins=True) for row in rows]
    made.append(Case("a pair of two vocabularies", [*RUN, "model.reference={world}/pocket"], "different vocabularies"))
    return made


def _model(change: Change) -> Callable[[Path, World], object]:
    def make(folder: Path, world: World) -> None:
        change(Path(shutil.copytree(world.folder / "policy", folder / "model")))

    return make
