"""Pairs and prompts of the experiment, from answers of models of known strength to X-AlpacaEval's prompts.

Chosen is the stronger model's answer: a weak label. Both answers of a pair are cut to one length in tokens, as stronger
models answer at greater length. Where a language has answers of one model alone, they are set against themselves with
their sentences in random order, and against the answer to another prompt: such labels say that a reward knows coherent
from incoherent and fitting from unfitting text, and nothing about style or help.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from experiments.real_model.size import Size
from icr.data import ParallelPrompts
from icr.evaluation import AlpacaPrompts, AnswerFiles
from icr.types import Prompt

STRONGEST, WEAKEST = "gpt-4-turbo-2024-04-09", "gpt-3.5-turbo-0125"
CONTRASTS = {
    "turbo_over_35": (STRONGEST, WEAKEST),
    "mini_over_35": ("gpt-4o-mini", WEAKEST),
    "turbo_over_mini": (STRONGEST, "gpt-4o-mini"),
}
"""The stronger model and the weaker one."""
MADE = ("another_prompt", "shuffled")
"""Contrasts made of the strongest model's answers alone."""
TRAINING = 600
"""Of X-AlpacaEval's prompts, those that may be trained on; the others are tested on, whatever the size."""
SHORTEST = 16
"""Tokens that a cut answer has at least: a word or two tell nothing."""

Row = dict[str, Any]


@dataclass
class Data:
    """What all steps read, in one folder.

    Attributes:
        source: folder with `x_alpacaeval/` and `ultrafeedback_parallel/`.
        folder: where the files are written.
        tokenizer: of the model.
        size: how much of it.
        skipped: pairs that were left out, by file.
    """

    source: Path
    folder: Path
    tokenizer: PreTrainedTokenizerBase
    size: Size
    skipped: Counter[str] = field(default_factory=Counter)

    def write(self) -> None:
        """Write all files; the same ones each time.

        Raises:
            DataError: a file is missing or malformed.
        """
        for name in ("turbo_over_35", "mini_over_35"):
            _lines(self.english(name), self._pairs(name, "en", self.train))
        for name in CONTRASTS:
            for code in self.size.languages:
                _lines(self.labelled(name) / f"{code}.jsonl", self._pairs(name, code, self.test)[: self.size.labelled])
        for name in MADE:
            for code in self.size.references:
                _lines(self.labelled(name) / f"{code}.jsonl", self._made(name, code)[: self.size.labelled])
        _lines(self.demonstrations, [row for code in self.size.languages for row in self._shown(code)])
        self._write_prompts()
        for code in dict.fromkeys(["en", *self.size.rounds, *self.size.references]):
            asked = self._asked(code)
            rows = [{"id": id, "instruction": asked[id].text} for id in self.test[: self.size.answers]]
            _document(self.test_prompts / f"{code}.json", rows)

    def english(self, name: str) -> Path:
        """English preferences of the training prompts."""
        return self.folder / "english" / f"{name}.jsonl"

    @property
    def demonstrations(self) -> Path:
        """Answers of the weakest model to training prompts in all languages in which it has answered."""
        return self.folder / "demonstrations.jsonl"

    def labelled(self, name: str) -> Path:
        """Labelled answers to test prompts, a file a language."""
        return self.folder / "labelled" / name

    @property
    def prompts(self) -> Path:
        """Parallel prompts of the rounds."""
        return self.folder / "prompts"

    @property
    def test_prompts(self) -> Path:
        """Test prompts whose answers are looked at."""
        return self.folder / "test_prompts"

    @cached_property
    def train(self) -> list[str]:
        """Ids of the prompts for English preferences, in random order; in no language is one of them tested on."""
        return self._shuffled[:TRAINING][: self.size.pairs]

    @cached_property
    def test(self) -> list[str]:
        """Ids of the prompts that are tested on, in random order."""
        return self._shuffled[TRAINING:]

    @cached_property
    def _shuffled(self) -> list[str]:
        ids = list(self._asked("en"))
        random.Random(0).shuffle(ids)
        return ids

    def _asked(self, code: str) -> dict[str, Prompt]:
        return _asked(self.source, code)

    def _answers(self, model: str, code: str) -> dict[str, str]:
        return _answers(self.source, model, code)

    def _pairs(self, name: str, code: str, ids: Sequence[str]) -> list[Row]:
        better, worse = (self._answers(model, code) for model in CONTRASTS[name])
        asked = self._asked(code)
        rows = ((asked[id], better[id], worse[id]) for id in ids if id in better and id in worse)
        return list(self._cut(f"{name}, {code}", rows))

    def _shown(self, code: str) -> Iterator[Row]:
        asked, answers = self._asked(code), self._answers(WEAKEST, code)
        for id in self.train[: self.size.demonstrations]:
            if id in answers:
                yield {"prompt": asked[id].text, "response": self._begin(answers[id]), "language": code}

    def _made(self, name: str, code: str) -> list[Row]:
        asked, answers = self._asked(code), self._answers(STRONGEST, code)
        ids = [id for id in self.test if id in answers]
        if name == "shuffled":
            worse = {id: _shuffled_sentences(self._begin(answers[id]), code, id) for id in ids}
        else:
            worse = dict(zip(ids, (answers[id] for id in [*ids[1:], ids[0]]), strict=True))
        better = {id: self._begin(answers[id]) for id in ids}
        return list(self._cut(f"{name}, {code}", ((asked[id], better[id], worse[id]) for id in ids)))

    def _cut(self, what: str, rows: Iterable[tuple[Prompt, str, str]]) -> Iterator[Row]:
        """The pairs with both answers at one length."""
        for prompt, chosen, rejected in rows:
            sides = [self.tokenizer.encode(text, add_special_tokens=False) for text in (chosen, rejected)]
            length = min(self.size.tokens, *map(len, sides))
            if length < SHORTEST or chosen == rejected:
                self.skipped[what] += 1
                continue
            texts = [self.tokenizer.decode(ids[:length]) for ids in sides]
            yield {
                "id": prompt.id,
                "prompt": prompt.text,
                "prompt_en": prompt.english,
                "chosen": texts[0],
                "rejected": texts[1],
            }

    def _begin(self, text: str) -> str:
        ids = self.tokenizer.encode(text, add_special_tokens=False)
        return str(self.tokenizer.decode(ids[: self.size.tokens]))

    def _write_prompts(self) -> None:
        """The prompts that are shortest in the language in which they are longest, without those tested on."""
        source = ParallelPrompts(str(self.source / "ultrafeedback_parallel"), on_missing="drop")
        longest: Counter[str] = Counter()
        by_language: dict[str, dict[str, str]] = {}
        for prompt in source.prompts(list(dict.fromkeys(["en", *self.size.rounds]))).prompts:
            by_language.setdefault(prompt.language, {})[prompt.id] = prompt.text
            count = len(self.tokenizer.encode(prompt.text, add_special_tokens=False))
            longest[prompt.id] = max(longest[prompt.id], count)
        tested = {prompt.text for prompt in self._asked("en").values()}
        apart = [id for id in sorted(longest, key=lambda id: (longest[id], id)) if by_language["en"][id] not in tested]
        for code, texts in by_language.items():
            rows = [{"instruction_id": id, "instruction": texts[id]} for id in apart[: self.size.prompts]]
            _lines(self.prompts / f"{code}.jsonl", rows)


@cache
def _asked(source: Path, code: str) -> dict[str, Prompt]:
    prompts = AlpacaPrompts(str(source / "x_alpacaeval/instructions")).prompts([code]).prompts
    return {prompt.id: prompt for prompt in prompts}


@cache
def _answers(source: Path, model: str, code: str) -> dict[str, str]:
    files = AnswerFiles(str(source / f"x_alpacaeval/outputs/{model}.{{language}}.json"))
    found = files.answers(list(_asked(source, code).values()))
    return {id: answer for (id, _), answer in found.items()}


def _shuffled_sentences(text: str, code: str, id: str) -> str:
    """Sentences, or in Thai, which marks none, phrases between spaces, in an order that depends on the id alone."""
    parts = re.split(r"(?<=\s)" if code == "th" else r"(?<=[.!?।\n:;,])\s+", text)
    order = list(parts)
    random.Random(id).shuffle(order)
    return " ".join(part.strip() for part in order)


def _lines(path: Path, rows: Sequence[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def _document(path: Path, rows: Sequence[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows, ensure_ascii=False, indent=1), encoding="utf-8")
