"""Getting the round's weights into a vLLM server, and seeing that they are there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from icr.errors import RunError
from icr.models.folder import base_of
from icr.sampling.adapter_files import folder_of, name_of
from icr.sampling.probe import Probe
from icr.sampling.server_fleet import Server, Unavailable, said


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
        if base_of(self.probe.path):
            server.model = self._load_adapter(server, cards)
        else:
            server.model = self._base(server, cards)
            if not server.loaded:
                self._load(server, cards[server.model])
        self.probe.check([prompt_logps(server, ids) for ids in self.probe.prompts], f"The vLLM server {server.url}")

    def forget(self, server: Server) -> None:
        """Unload the adapter that was loaded, if one was."""
        if base_of(self.probe.path):
            server.call("POST", "/v1/unload_lora_adapter", {"lora_name": server.model})

    def _models(self, server: Server) -> dict[str, dict[str, Any]]:
        reply = server.call("GET", "/v1/models")
        if reply.status_code != 200:
            raise RunError(
                f"The server {server.url} answers /v1/models with status {reply.status_code}: {said(reply)}. "
                f"sampling.urls takes the address without /v1; a key goes into the variable of sampling.api_key_env."
            )
        return {card["id"]: card for card in reply.json()["data"]}

    def _base(self, server: Server, cards: Mapping[str, Mapping[str, Any]]) -> str:
        if self.name and self.name not in cards:
            raise RunError(
                f"The vLLM server {server.url} does not serve sampling.model={self.name}, but {', '.join(cards)}."
            )
        if not cards:
            raise RunError(f"The vLLM server {server.url} serves no model.")
        return self.name or next(iter(cards))

    def _load(self, server: Server, card: Mapping[str, Any]) -> None:
        """Have the server read the policy's folder; a server that cannot must have been started on it."""
        path = self.probe.path
        reply = server.call(
            "POST", "/collective_rpc", {"method": "reload_weights", "kwargs": {"weights_path": located(path)}}
        )
        if reply.status_code == 200:
            # Keys and values of the old weights would be taken for those of the new.
            reset = server.call("POST", "/reset_prefix_cache?reset_running_requests=true")
            if reset.status_code != 200 or (reset.content and reset.json().get("success") is False):
                raise Unavailable("its prefix cache cannot be reset")
        elif reply.status_code != 404:
            raise RunError(
                f"The vLLM server {server.url} cannot load the weights of {path} (status {reply.status_code}: "
                f"{said(reply)}). It must see the same folder, and have been started with a model of the same shape."
            )
        elif located(str(card.get("root"))) != located(path):
            raise RunError(
                f"The vLLM server {server.url} serves {card.get('root')}, not {path}, and cannot be told to load it. "
                f"Start it with VLLM_SERVER_DEV_MODE=1, which lets each round's weights be loaded (on a network that "
                f"you trust), train adapters (adapter=lora), or use sampling=vllm."
            )

    def _load_adapter(self, server: Server, cards: Mapping[str, Mapping[str, Any]]) -> str:
        """Have the server read the policy's adapter, under a name that its content decides."""
        folder = folder_of(self.probe.path)
        name = name_of(folder)
        if name in cards:
            return name
        reply = server.call("POST", "/v1/load_lora_adapter", {"lora_name": name, "lora_path": folder})
        if reply.status_code == 200:
            return name
        raise RunError(
            f"The vLLM server {server.url} cannot load the adapter {folder} (status {reply.status_code}: "
            f"{said(reply)}). Start it on the adapter's base model with VLLM_ALLOW_RUNTIME_LORA_UPDATING=True, "
            f"--enable-lora and a --max-lora-rank that holds it; it must see the same folder."
        )


def prompt_logps(server: Server, prompt_ids: list[int]) -> list[float]:
    """The server's log-prob of each prompt token but the first.

    Raises:
        Unavailable: the server does not answer.
        RunError: it answers with something else.
    """
    body = {"model": server.model, "prompt": prompt_ids, "prompt_logprobs": 0, "max_tokens": 1, "temperature": 0}
    reply = server.call("POST", "/v1/completions", body)
    if reply.status_code != 200:
        raise RunError(
            f"The vLLM server {server.url} does not give log-probs of prompts (status {reply.status_code}: "
            f"{said(reply)}), so that its weights cannot be verified."
        )
    tokens = reply.json()["choices"][0].get("prompt_logprobs") or []
    return [
        float(row[str(id)]["logprob"]) for id, row in zip(prompt_ids[1:], tokens[1:], strict=False) if str(id) in row
    ]


def located(path: str) -> str:
    """The real path of a folder; a hub name as it is."""
    return os.path.realpath(path) if Path(path).is_dir() else path
