"""A model's log-probs through the engine, against those of its own forward pass: which ways to run it are right."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch
from transformers import PreTrainedModel

from icr.errors import one_line
from icr.logps import fused
from icr.logps.head import called_logps, selected_logps
from icr.logps.joined import joined_hidden, may_join
from icr.logps.layout import TokenLayout, lay_out
from icr.logps.own import own_logps, plain_logits, plain_logps
from icr.logps.padded import layer_kinds, padded_hidden, takes_masks
from icr.logps.products import quick_products
from icr.logps.trial_text import Text
from icr.logps.windows import SHORT, shortened

CERTAIN = 5e-5
"""Nats per token that no way is blamed for."""
STEADY, STEADIER = 0.01, 16
"""Nats per token by which a model may differ from itself, from pass to pass, or times what rounding makes of its
logits; beyond it nothing can be compared, and each sequence has a pass of its own."""
STRAYS = 8
"""How much further off the mean may be than the median: for a few tokens rounding chooses another expert."""
LIMIT = 0.5
"""Nats per token of the same, beyond which its log-probs mean nothing."""


@dataclass(frozen=True)
class Ways:
    """How the engine can run a model.

    Attributes:
        head: through its decoder and the engine's own head; else through its own forward pass to logits.
        together: sequences of different lengths in one padded pass; else one by one.
        shares: responses to a prompt behind it in one row, told apart by a mask.
        joins: rows one behind the other without padding.
        refused: why it cannot be run at all; empty where it can.
        why: why the first way that was not taken was not, for those who ask.
        difference: between the ways that are taken and the model's own log-probs, in nats per token of the response
            where it is largest.
        tolerance: what that was allowed to be.
        finite: whether there was anything to compare.
    """

    head: bool = False
    together: bool = False
    shares: bool = False
    joins: bool = False
    refused: str = ""
    why: str = ""
    difference: float = 0.0
    tolerance: float = CERTAIN
    finite: bool = True

    def and_also(self, other: Ways) -> Ways:
        """What both allow."""
        return Ways(
            head=self.head and other.head,
            together=self.together and other.together,
            shares=self.shares and other.shares,
            joins=self.joins and other.joins,
            refused=self.refused or other.refused,
            why=self.why or other.why,
            difference=max(self.difference, other.difference),
            tolerance=max(self.tolerance, other.tolerance),
            finite=self.finite and other.finite,
        )


def try_ways(model: PreTrainedModel) -> Ways:
    """Run a few sequences through the model itself and through the engine, in the precision of this moment.

    The sequences are longer than its attention windows, which are cut short for as long as this takes. Where a window
    does not follow its setting, sequences longer than it are tried up to `LONGEST` tokens; a window beyond that rules
    out all but the model's own masks.

    A way agrees if it differs from the model's own log-probs by no more than four times what these differ by between a
    pass and one of another shape, or by the rounding of its logits. Runs in evaluation mode, without gradient, whatever
    mode it is called in.
    """
    with undisturbed(model, training=False):
        text = Text.of(model)
        with shortened(model) as windows:
            ways = _Trial(model, text).ways()
            cut = torch.zeros(()) if ways.refused else plain_logps(model, text.longest)
        if windows and not ways.together:
            # Perhaps because of the cut: where few of many tokens are seen, rounding chooses between them.
            return replace(_Trial(model, text).ways(), shares=False, joins=False)
        if not windows or not ways.finite or _distance([cut], [plain_logps(model, text.longest)]) > ways.tolerance:
            return ways
        beyond = windows[-1] >= text.length
        if not beyond or (layer_kinds(model) and layer_kinds(model) <= {"full_attention"}):
            return ways
        longer = Text.of(model, windows[-1] + 2 * SHORT)
        if windows[-1] < longer.length:
            return _Trial(model, longer).ways()
        why = f"its window of {windows[-1]} tokens could not be tried"
        return replace(ways, shares=False, joins=False, why=why)


def train_mode_problem(model: PreTrainedModel, tolerance: float) -> str:
    """What training mode does to a model's log-probs, in two passes with different random numbers; empty if nothing.

    Runs without gradient, and leaves the random numbers of the caller alone.

    Args:
        tolerance: nats that a token's log-prob may be off.
    """
    text, devices = Text.of(model), [model.device] if model.device.type == "cuda" else []
    with undisturbed(model, training=False):
        calm = plain_logps(model, text.longest)
    difference = 0.0
    with undisturbed(model, training=True), torch.random.fork_rng(devices):
        for seed in range(2):
            torch.manual_seed(seed)
            try:
                difference = max(difference, float((plain_logps(model, text.longest) - calm).abs().max()))
            except torch.OutOfMemoryError:
                raise
            except Exception as error:
                return f"it cannot be run in training mode ({one_line(error, 160)})"
    if difference <= tolerance:
        return ""
    return (
        f"in training mode its log-probs are {difference:.2g} nats per token off those in evaluation mode, which the "
        f"reference has; dropout and jitter are off, so its own code draws something else at random"
    )


@contextmanager
def undisturbed(model: PreTrainedModel, *, training: bool) -> Iterator[None]:
    """Training or evaluation mode without gradient, also inside `inference_mode`; then as it was.

    Within `torch.autocast` no weight is cast for good: what is cast without gradient would be used with it afterwards.
    """
    kind = model.device.type
    mixed, dtype = torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)
    modes = [(module, module.training) for module in model.modules()]
    model.train(training)
    try:
        with (
            torch.inference_mode(False),
            torch.no_grad(),
            torch.autocast(kind, dtype, enabled=mixed, cache_enabled=False),
            quick_products(model),
        ):
            yield
    finally:
        for module, mode in modes:
            module.training = mode


@dataclass
class _Trial:
    model: PreTrainedModel
    text: Text
    own: list[torch.Tensor] = field(default_factory=list)
    tolerance: float = CERTAIN
    why: str = ""
    largest: float = 0.0

    def ways(self) -> Ways:
        try:
            rounding, beside = self._run_own(), self._pair_of_rows()
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            return Ways(refused=f"it cannot be run on token ids alone ({one_line(error, 160)})")
        if not torch.cat(self.own).isfinite().all():
            return Ways(head=True, together=True, finite=False)
        one, parted, longer = self.own[1:4]
        self.tolerance = max(CERTAIN, rounding, 4 * beside)
        common = slice(0, self.text.common)
        ahead = _distance([one[common]], [parted[common]])
        if not ahead <= self.tolerance:
            return Ways(
                refused=f"its log-prob of a token depends on the tokens after it, by {ahead:.2g} nats: it is no causal "
                f"model as it is configured (`is_decoder` in config.json?)"
            )
        noise = max(beside, _distance([one], [longer[: len(one)]]))
        if not noise <= (steady := max(STEADY, STEADIER * rounding)):
            why = f"its log-prob of a token differs from pass to pass, by {noise:.2g} nats"
            repeated = _distance([longer], [plain_logps(self.model, self.text.longest)])
            # Alone it may be what it always is, in passes of the same shape.
            return Ways(why=why) if noise <= LIMIT and repeated <= steady else Ways(refused=why)
        self.tolerance = max(self.tolerance, 4 * noise)
        return self._engine()

    def _run_own(self) -> float:
        """Fill `own`; gives what rounding makes of its logits, in nats per token."""
        largest = 0.0
        for prompt, response in self.text.sequences[1:]:
            logits = plain_logits(self.model, [*prompt, *response])[len(prompt) - 1 : -1].float()
            targets = torch.tensor(response, device=logits.device)
            self.own.append(logits.log_softmax(1).gather(1, targets[:, None]).squeeze(1))
            largest = max(largest, float(logits.abs().amax(1).mean()))
        self.own.insert(0, self.own[0][:1])
        kind, dtype = self.model.device.type, self.model.dtype
        if torch.is_autocast_enabled(kind):
            dtype = torch.get_autocast_dtype(kind)
        return largest * torch.finfo(dtype).eps / 2

    def _pair_of_rows(self) -> float:
        """What becomes of two sequences of one length in one pass."""
        layout = lay_out(self.text.sequences[1:3]).to(self.model.device)
        values = own_logps(self.model, layout, together=True)
        return _distance(self.own[1:3], values.split(layout.lengths.tolist()))

    def _engine(self) -> Ways:
        model = self.model
        apart = lay_out(self.text.sequences).to(model.device)
        shared = lay_out(self.text.sequences, [[0, 1, 2, 3], [4]]).to(model.device)
        head = self._agrees("the engine's head", lambda: _engine_logps(model, apart))
        if not head and fused.refuse(model.get_output_embeddings()):
            self.why = ""
            head = self._agrees("the engine's head", lambda: _engine_logps(model, apart))
        if not head:
            together = self._agrees("padding", lambda: [own_logps(model, apart, together=True)])
            if not together and not self._agrees("its logits", lambda: [own_logps(model, apart, together=False)]):
                return Ways(refused=f"its log-probs cannot be had: {self.why}")
            return self._found(Ways(together=together))
        shares = takes_masks(model) and self._agrees(
            "shared prompts", lambda: [selected_logps(model, padded_hidden(model, shared), shared.targets)]
        )
        joins = may_join(model) and self._agrees(
            "joined rows", lambda: [selected_logps(model, joined_hidden(model, shared), shared.targets)]
        )
        return self._found(Ways(head=True, together=True, shares=shares, joins=joins))

    def _found(self, ways: Ways) -> Ways:
        return replace(ways, why=self.why, difference=self.largest, tolerance=self.tolerance)

    def _agrees(self, way: str, values: Callable[[], Sequence[torch.Tensor]]) -> bool:
        """Whether each of these is the model's own log-probs of all sequences; else `why` says what was seen first."""
        try:
            found = values()
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            self.why = self.why or f"with {way}: {type(error).__name__}: {one_line(error, 120)}"
            return False
        distance = max(self._off(one) for one in found)
        if distance <= self.tolerance:
            self.largest = max(self.largest, distance)
            return True
        self.why = self.why or f"with {way}, log-probs are {distance:.2g} nats per token off"
        return False

    def _off(self, values: torch.Tensor) -> float:
        parts = values.split([len(part) for part in self.own])
        # One token by itself would be judged more severely than many.
        ours, theirs = ([torch.cat([*parts[:2]]), *parts[2:]] for parts in (parts, self.own))
        return _distance(ours, theirs)


def _engine_logps(model: PreTrainedModel, layout: TokenLayout) -> list[torch.Tensor]:
    """Through the decoder and the engine's head: from its weights, and by calling it, as adapters and sharding do."""
    hidden = padded_hidden(model, layout)
    return [head(model, hidden, layout.targets) for head in (selected_logps, called_logps)]


def _distance(ours: Sequence[torch.Tensor], theirs: Sequence[torch.Tensor]) -> float:
    """Difference per token of the response where it is largest, in nats: median, or mean by `STRAYS`."""
    apart = [(a - b).abs() for a, b in zip(ours, theirs, strict=True)]
    found = torch.stack([torch.maximum(values.median(), values.mean() / STRAYS) for values in apart])
    return float(torch.nan_to_num(found, nan=torch.inf).max())
