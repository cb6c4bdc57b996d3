"""The run's own passes over fake tensors: nothing is computed and no memory is taken, but every allocation is seen.

What a forward or backward pass holds depends on the family, its attention, checkpointing, the frozen parameters and
autograd's order of work; the code that will run knows all that, and no formula does.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AutoModelForCausalLM, DynamicCache, PreTrainedConfig, PreTrainedModel
from transformers.cache_utils import CacheLayerMixin

from icr.logps.joined import joined_hidden, may_join
from icr.logps.layout import MAX_ROW, IdPair, TokenLayout, lay_out, rows_by_prompt
from icr.logps.padded import MASKABLE, padded_hidden
from icr.logps.scoring import lay_out_batch
from icr.logps.tiles import GPU_ELEMENTS, TiledLogps
from icr.sampling.drawing import draw, drawn_from_all

GPU_TILES = 3 * 4 * GPU_ELEMENTS
"""Bytes of the head's tiles on a GPU: logits, the same in float32, and what they are turned into."""


class PeakBytes(TorchDispatchMode):
    """Counts the bytes of the tensors that are made while it is on; those of `known` tensors are not its business.

    torch's own `MemTracker` hooks into modules: it takes no frozen parameters, no second forward pass and no inference
    mode, and where it can be used it takes six times as long and finds 6 to 35 % less in a training pass.
    """

    def __init__(self, known: Iterable[torch.Tensor] = ()):
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = 0
        self.peak = 0
        self._live = {tensor.untyped_storage()._cdata for tensor in known}

    def __torch_dispatch__(
        self,
        function: Callable[..., object],
        types: Sequence[type],
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        made = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        return made

    def _count(self, storage: torch.UntypedStorage) -> None:
        if storage._cdata in self._live:
            return
        size = storage.nbytes()
        self._live.add(storage._cdata)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._release, storage._cdata, size)

    def _release(self, identity: int, size: int) -> None:
        self._live.discard(identity)
        self.now -= size


@dataclass
class Rehearsal:
    """A model without weights, on which passes are rehearsed.

    Attributes:
        config: its configuration.
        dtype: of the weights.
        attention: as `model.loader.attn_implementation`; what does not run on a CPU is rehearsed as `sdpa`.
        accelerator: `cpu` or `cuda`, whichever the rehearsal is for; it takes place on a CPU in any case.
        prepare: what is done to the model before it is trained: freezing, adapters, checkpointing.
        autocast: dtype of a mixed-precision pass; None computes in the weights' own.
    """

    config: PreTrainedConfig
    dtype: torch.dtype
    attention: str = ""
    accelerator: str = "cpu"
    prepare: Callable[[PreTrainedModel], PreTrainedModel] = lambda model: model
    autocast: torch.dtype | None = None
    model: PreTrainedModel = field(init=False)

    def __post_init__(self) -> None:
        self._fake = FakeTensorMode(allow_non_fake_inputs=True)
        given = self.attention if self.attention in ("", "eager") else "sdpa"
        with self._fake:
            model = AutoModelForCausalLM.from_config(self.config, dtype=self.dtype, attn_implementation=given or None)
        self.model = self.prepare(model)
        self._fake_all()

    @property
    def shares_prompts(self) -> bool:
        """Whether its attention takes the mask of shared rows."""
        return self.attention in ("", *MASKABLE)

    def rows(self, sequences: Sequence[IdPair]) -> list[list[int]]:
        """How the sequences of a micro-batch lie in rows, by their indices."""
        indices = range(len(sequences))
        return rows_by_prompt(sequences, indices, MAX_ROW) if self.shares_prompts else [[index] for index in indices]

    def scoring(self, sequences: Sequence[IdPair], rows: Sequence[Sequence[int]]) -> int:
        """Peak bytes of a scoring pass over one batch of `icr.logps.scoring.plan`, beside the weights."""
        self.model.eval()
        with torch.no_grad(), self._watched() as memory, self._autocast():
            self._logps(lay_out_batch(sequences, rows)[1])
        return memory.peak + self._tiles

    def training(self, sequences: Sequence[IdPair], *, accumulates: bool) -> int:
        """Peak bytes of a micro-batch's forward and backward pass, beside weights, gradients and optimiser states.

        Args:
            accumulates: whether the micro-batch adds to the gradients of others. If not, it makes new ones; but those
                of the step before are there until its backward pass, as Lightning zeroes them only then.
        """
        self.model.train()
        layout = lay_out(sequences, self.rows(sequences))
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        for parameter in trained:
            parameter.grad = torch.zeros_like(parameter) if accumulates else None
        with self._watched() as memory:
            with self._autocast():
                loss = self._logps(layout).sum()
            forward = memory.peak
            loss.backward()
            del loss
        made = 0 if accumulates else sum(parameter.nbytes for parameter in trained)
        return max(forward, memory.peak - made) + self._tiles

    def sampling(self, prompts: int, prompt_tokens: int, n: int, max_new_tokens: int, *, truncates: bool) -> int:
        """Peak bytes of decoding a batch whose rows all reach the limit, beside the weights (see `decode`).

        Args:
            truncates: whether by `top_p` or `top_k`.
        """
        self.model.eval()
        with torch.inference_mode(), self._watched() as memory, self._fake:
            cache = DynamicCache(config=self.config)
            ids = torch.zeros(prompts, prompt_tokens, dtype=torch.long)
            logits = self._step(ids, cache).repeat_interleave(n, 0)
            cache.batch_repeat_interleave(n)
            self._draw(logits, truncates)
            _lengthen(cache, max_new_tokens - 2)
            self._draw(self._step(torch.zeros(prompts * n, 1, dtype=torch.long), cache), truncates)
        return memory.peak

    def _autocast(self) -> torch.autocast:
        return torch.autocast("cpu", self.autocast, enabled=self.autocast is not None)

    def _step(self, ids: torch.Tensor, cache: DynamicCache) -> torch.Tensor:
        seen = cache.get_seq_length()
        mask = torch.ones(len(ids), seen + ids.shape[1], dtype=torch.long)
        positions = torch.arange(seen, seen + ids.shape[1]).expand(ids.shape)
        options = {"past_key_values": cache, "use_cache": True, "logits_to_keep": torch.tensor([-1])}
        logits: torch.Tensor = self.model(input_ids=ids, attention_mask=mask, position_ids=positions, **options).logits
        return logits[:, -1].float()

    def _draw(self, logits: torch.Tensor, truncates: bool) -> None:
        numbers = torch.zeros(len(logits))
        if truncates:
            # The most is held where all is sorted: of fake numbers nobody knows whether few would do.
            drawn_from_all(logits.double().softmax(-1), numbers, 0.9, None)
        else:
            draw(logits, numbers, temperature=1)

    def _fake_all(self) -> None:
        """An adapter's small weights are made for real: peft converts them, which fake ones do not bear."""
        for module in self.model.modules():
            for name, parameter in module.named_parameters(recurse=False):
                if not isinstance(parameter, FakeTensor):
                    fake = self._fake.from_tensor(parameter.detach())
                    setattr(module, name, torch.nn.Parameter(fake, requires_grad=parameter.requires_grad))

    @contextlib.contextmanager
    def _watched(self) -> Iterator[PeakBytes]:
        grads = (parameter.grad for parameter in self.model.parameters() if parameter.grad is not None)
        with PeakBytes([*self.model.parameters(), *self.model.buffers(), *grads]) as memory:
            yield memory

    @property
    def _tiles(self) -> int:
        return GPU_TILES if self.accelerator == "cuda" else 0

    def _logps(self, layout: TokenLayout) -> torch.Tensor:
        """As `icr.logps.attention.run`, which tries out which way agrees, and takes fake weights for no plain head."""
        if self.accelerator == "cpu" and may_join(self.model):
            # The layout's own tensors are real: how rows are joined depends on what is in them.
            hidden = joined_hidden(self.model, layout)
        else:
            with self._fake:
                hidden = padded_hidden(self.model, layout)
        head, config = self.model.get_output_embeddings(), self.model.config.get_text_config()
        arguments = hidden, head.weight, head.bias, layout.targets, config, torch.is_grad_enabled()
        with self._fake:
            logps: torch.Tensor = TiledLogps.apply(*arguments)  # type: ignore[no-untyped-call]
        return logps


def _lengthen(cache: DynamicCache, tokens: int) -> None:
    """Fill the cache as so many further tokens would have."""
    if tokens < 1:
        return
    for index, layer in enumerate(cache.layers):
        assert isinstance(layer, CacheLayerMixin)
        assert layer.keys is not None
        rows, heads, _, size = layer.keys.shape
        grown = layer.keys.new_zeros(rows, heads, tokens, size)
        cache.update(grown, grown, index)
