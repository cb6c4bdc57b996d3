"""Writes `docs/model-families.md`, what the engine does with each family: `python -m tests.families.page`.

Each is run through the engine, on sequences longer than its attention window, and compared with `model(ids).logits`.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers
from transformers import PreTrainedModel

from icr.errors import ModelError, one_line
from icr.logps import IdPair, lay_out, require_calm_training, score, token_logps, ways_of
from tests.families.tiny import COMPOSED, TOO_LARGE, TYPES, build

PAGE = Path(__file__).parents[2] / "docs" / "model-families.md"

VERSION = f"transformers {transformers.__version__}"

ALLOWED = 1e-4
"""Nats of a single token, in float32."""

ROUGH, ALLOWED_ROUGH = ("hrm_text", "prophetnet"), 0.02
"""Types that differ from themselves in a pass of another shape, and the nats of a single token that they may."""

HEAD = """\
# Model families

<!-- Written by `python -m tests.families.page` from the code; a test compares. -->

What the log-prob engine does with each causal language model of {version}: a tiny
random one of each type, in float32 on a CPU, on sequences longer than its attention windows, against
`model(ids).logits`. A run finds the same out about its own models, at their first use and in its own precision, and
says in the log what it could not use.

**{total} types tried: {agree} agree with the engine's own head, {own} are right through their own forward pass,
{refused} are refused; {calm} compute the same in training as in evaluation.** {unbuilt} more could
not be made tiny here, and {composed} are text models of this list within a model of images or sound.

- *shares*: responses to a prompt share one pass over it. *joins*: on a CPU, rows lie behind each other without padding.
- *head*: `engine` computes log-probs a tile of logits at a time; `model` asks the model's own forward pass, because its
  head is more than its weights (a cap, a scale, a transform), which takes more memory.
- *train = eval*: whether training mode, with dropout and jitter off, gives the numbers of evaluation mode. Where it
  does not, the model can sample, score and be a reference, and a run that would train it is refused.
- *largest*: difference of a token's log-prob from the model's own, in nats; *larger* where the model differs from
  itself by as much, in a pass of another shape.
"""

TABLE = """
| model type | attention | shares | joins | head | train = eval | largest | why |
|---|---|---|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Row:
    """What the engine does with a type.

    Attributes:
        tried: whether a model could be made.
        difference: largest of a token, in nats, in evaluation mode, in training mode where it is calm.
    """

    model_type: str
    tried: bool = True
    attention: str = ""
    shares: bool = False
    joins: bool = False
    head: bool = False
    calm: bool = False
    difference: float = 0.0
    refused: bool = False
    why: str = ""

    def __str__(self) -> str:
        def said(value: bool) -> str:
            return "yes" if value else "no"

        name = f"| `{self.model_type}` |"
        if not self.tried:
            return f"{name} | | | | | | could not be made: {self.why} |"
        if self.refused:
            return f"{name} {self.attention} | | | refused | | | {self.why} |"
        head = "engine" if self.head else "model"
        size = next((f"&lt; {bound:.0e}" for bound in (1e-5, ALLOWED) if self.difference < bound), "larger")
        flags = f"{said(self.shares)} | {said(self.joins)} | {head} | {said(self.calm)}"
        return f"{name} {self.attention} | {flags} | {size} | {self.why} |"


def rows() -> list[Row]:
    """One per type that is not an encoder around another one."""
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    logging.getLogger("icr").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    return [_row(model_type) for model_type in sorted(TYPES) if model_type not in COMPOSED]


def page(found: list[Row]) -> str:
    """The page as it should be."""
    tried = [row for row in found if row.tried]
    right = [row for row in tried if not row.refused]
    head = HEAD.format(
        version=VERSION,
        total=len(tried),
        agree=sum(row.head for row in right),
        own=sum(not row.head for row in right),
        refused=len(tried) - len(right),
        calm=sum(row.calm for row in right),
        unbuilt=len(found) - len(tried),
        composed=len(COMPOSED),
    )
    return head + TABLE + "".join(f"{row}\n" for row in found)


def _row(model_type: str) -> Row:
    if model_type in TOO_LARGE:
        return Row(model_type, tried=False, why=TOO_LARGE[model_type])
    try:
        model = build(model_type)
    except Exception as error:
        return Row(model_type, tried=False, why=_plain(f"{type(error).__name__}: {error}"))
    attention = model.config._attn_implementation
    try:
        found = ways_of(model)
    except ModelError as error:
        return Row(model_type, attention=attention, refused=True, why=_plain(str(error).partition(": ")[2]))
    why, calm = found.why, True
    try:
        require_calm_training(model)
    except ModelError as error:
        calm, why = (
            False,
            "; ".join(filter(None, [why, str(error).partition(": ")[2].partition(", which")[0].partition(". It ")[0]])),
        )
    return Row(
        model_type,
        attention=attention,
        shares=found.shares,
        joins=found.joins,
        head=found.head,
        calm=calm,
        difference=_difference(model, calm),
        why=_plain(why),
    )


def _difference(model: PreTrainedModel, calm: bool) -> float:
    sequences = list(_sequences())
    with torch.no_grad():
        own = torch.cat([_own(model, *sequence) for sequence in sequences])
        got = torch.cat([torch.from_numpy(part) for part in score(model, sequences, tokens_per_batch=800)])
        differences = [(got - own).abs().max()]
        if calm:
            model.train()
            differences.append((token_logps(model, lay_out(sequences, [[0, 1, 2], [3]])) - own).abs().max())
    return float(torch.stack(differences).max())


def _sequences() -> Iterator[IdPair]:
    """Three responses to one prompt, and one to a short one."""
    ids = torch.randint(5, 115, (400,), generator=torch.Generator().manual_seed(3)).tolist()
    for start, length in [(150, 1), (151, 20), (180, 50)]:
        yield ids[:150], ids[start : start + length]
    yield ids[300:309], ids[320:340]


def _own(model: PreTrainedModel, prompt: list[int], response: list[int]) -> torch.Tensor:
    logits = model(input_ids=torch.tensor([[*prompt, *response]]), use_cache=False).logits[0].float()
    logps = logits[len(prompt) - 1 : -1].log_softmax(1)
    return logps.gather(1, torch.tensor(response)[:, None]).squeeze(1)


def _plain(text: str) -> str:
    """One line that a table bears, with no figure in it that another machine would see otherwise."""
    without = re.sub(r"\d+(\.\d+)?(e-?\d+)? nats per token", "nats per token", one_line(text, 170))
    return re.sub(r", by [\d.e-]+ nats", "", without).replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    PAGE.write_text(page(rows()), encoding="utf-8")
