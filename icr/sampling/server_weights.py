"""Getting the round's weights into a vLLM server, and seeing that they are there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from icr.errors import RunError
from icr.models.folder import base_of
from icr.sampling.adapter_files import folder_of, name_of
from icr.sampling.exchange import Unavailable
from icr.sampling.printable import printable
from icr.sampling.probe import Probe
from icr.sampling.server_fleet import Server


@dataclass(frozen=True)
class ServerWeights:
    """Makes servers serve one policy.

    Attributes:
        probe: the policy's path and log-probs.
        name: the model name that they serve; empty takes the first that they list.
    """

    probe: Probe
    name: str = ""

    def verify(self, server: Server) -> None:
        """Load the policy's weights where that was not done yet, then compare log-probs.

        Raises:
            Unavailable: the server does not answer.
            RunError: it serves another model, cannot take the weights, or computes other log-probs.
        """
        cards = self._models(server)
        base = self._base(server, cards)
        if base_of(self.probe.path):
            server.model = self._load_adapter(server, cards)
            answers = self._answers(server, server.model)
            self.probe.check(answers, str(server), base=self._answers(server, base))
            return
        server.model, before, told = base, None, server.loaded
        if not server.loaded:
            # One that was started on the policy's folder may well answer as before.
            before = None if self._started_on(cards[base]) else self._answers(server, base)
            told = self._load(server, cards[base])
        self.probe.check(self._answers(server, base), str(server), before=before, told=told)

    def forget(self, server: Server, timeout: float) -> None:
        """Unload the adapter that was loaded, if one was, within so many seconds."""
        if base_of(self.probe.path):
            server.call("POST", "/v1/unload_lora_adapter", {"lora_name": server.model}, timeout)

    def _answers(self, server: Server, model: str) -> list[object]:
        return [prompt_logps(server, model, ids) for ids in self.probe.prompts]

    def _models(self, server: Server) -> dict[str, Mapping[str, object]]:
        """What `/v1/models` says of each model that is served, by its name."""
        reply = server.call("GET", "/v1/models")
        if reply.status != 200:
            raise RunError(
                f"{server} answers /v1/models with status {reply.status}: {reply.said()}. sampling.urls takes the "
                f"address without /v1; a key goes into the variable of sampling.api_key_env."
            )
        match document := reply.document():
            case {"data": [*cards]} if all(isinstance(c, dict) and isinstance(c.get("id"), str) for c in cards):
                return {card["id"]: card for card in cards}
        raise server.unexpected("/v1/models", document)

    def _base(self, server: Server, cards: Mapping[str, object]) -> str:
        if self.name and self.name not in cards:
            listed = printable(", ".join(cards), server.client.key)
            raise RunError(f"{server} does not serve sampling.model={self.name}, but {listed}.")
        if not cards:
            raise RunError(f"{server} serves no model.")
        return self.name or next(iter(cards))

    def _started_on(self, card: Mapping[str, object]) -> bool:
        return located(str(card.get("root"))) == located(self.probe.path)

    def _load(self, server: Server, card: Mapping[str, object]) -> bool:
        """Have the server read the policy's folder; one that cannot (False) must have been started on it."""
        path = self.probe.path
        reply = server.call(
            "POST", "/collective_rpc", {"method": "reload_weights", "kwargs": {"weights_path": located(path)}}
        )
        if reply.status == 200:
            if reply.content:
                reply.document()  # A page in its place is no acknowledgement.
            # Keys and values of the old weights would be taken for those of the new.
            reset = server.call("POST", "/reset_prefix_cache?reset_running_requests=true")
            document = reset.document() if reset.content else None
            if reset.status != 200 or (isinstance(document, dict) and document.get("success") is False):
                raise Unavailable("its prefix cache cannot be reset")
            return True
        if reply.status != 404:
            raise RunError(
                f"{server} cannot load the weights of {path} (status {reply.status}: {reply.said()}). It must see the "
                f"same folder, and have been started with a model of the same shape."
            )
        if not self._started_on(card):
            root = printable(card.get("root"), server.client.key)
            raise RunError(
                f"{server} serves {root}, not {path}, and cannot be told to load it. Start it with "
                f"VLLM_SERVER_DEV_MODE=1, which lets each round's weights be loaded (on a network that you trust), "
                f"train adapters (adapter=lora), or use sampling=vllm."
            )
        return False

    def _load_adapter(self, server: Server, cards: Mapping[str, object]) -> str:
        """Have the server read the policy's adapter, under a name that its content decides."""
        folder = folder_of(self.probe.path)
        name = name_of(folder)
        if name in cards:
            return name
        reply = server.call("POST", "/v1/load_lora_adapter", {"lora_name": name, "lora_path": folder})
        if reply.status == 200:
            return name
        raise RunError(
            f"{server} cannot load the adapter {folder} (status {reply.status}: {reply.said()}). Start it on the "
            f"adapter's base model with VLLM_ALLOW_RUNTIME_LORA_UPDATING=True, --enable-lora and a --max-lora-rank "
            f"that holds it; it must see the same folder."
        )


def prompt_logps(server: Server, model: str, prompt_ids: list[int]) -> list[object]:
    """The server's log-prob of each prompt token but the first, by the model of this name, as far as it gives them.

    Raises:
        Unavailable: the server does not answer.
        RunError: it answers with something else.
    """
    body = {"model": model, "prompt": prompt_ids, "prompt_logprobs": 0, "max_tokens": 1, "temperature": 0}
    reply = server.call("POST", "/v1/completions", body)
    if reply.status != 200:
        raise RunError(
            f"{server} does not give log-probs of prompts (status {reply.status}: {reply.said()}), so that its weights "
            f"cannot be verified."
        )
    match document := reply.document():
        case {"choices": [{"prompt_logprobs": [_, *rows]}, *_]} if len(rows) == len(prompt_ids) - 1:
            return [logp_of(id, row) for id, row in zip(prompt_ids[1:], rows, strict=True)]
        case {"choices": [{}, *_]}:
            return []
    raise server.unexpected("/v1/completions", document)


def logp_of(id: int, row: object) -> object:
    """The log-prob of a token in vLLM's row of candidates; None where it has none."""
    candidate = row.get(str(id)) if isinstance(row, dict) else None
    return candidate.get("logprob") if isinstance(candidate, dict) else None


def located(path: str) -> str:
    """The real path of a folder; a hub name as it is."""
    return os.path.realpath(path) if Path(path).is_dir() else path
