"""Sampling by vLLM servers that are running already."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

import httpx

from icr.checks import require_counts, require_number
from icr.models.loading import LoadedModel
from icr.sampling.addresses import key_of, require_address
from icr.sampling.engine_sampler import EngineSampler
from icr.sampling.exchange import Client
from icr.sampling.probe import Probe
from icr.sampling.server_fleet import Server, ServerFleet
from icr.sampling.server_weights import ServerWeights


@dataclass(frozen=True)
class VLLMServerSampler(EngineSampler):
    """Asks OpenAI-compatible vLLM servers, which are made to hold the policy's weights. Config group `sampling`."""

    urls: tuple[str, ...] = field(default=(), compare=False)
    """Addresses of the servers, such as `http://localhost:8000`."""
    model: str = field(default="", compare=False)
    """Name under which they serve the model; empty takes the first that each lists."""
    api_key_env: str = field(default="VLLM_API_KEY", compare=False)
    """Environment variable that holds their key, if they want one."""
    concurrency: int = field(default=64, compare=False)
    """Requests at a time to one server."""
    retries: int = field(default=6, compare=False)
    """Failures in a row after which a server is given up; pauses double from one second."""
    timeout: float = field(default=1800.0, compare=False)
    """Seconds that a whole answer may take."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_counts(self, "concurrency", "retries")
        require_number("timeout", self.timeout, above=0)
        if not self.urls:
            raise ValueError("urls is empty: give sampling.urls=[http://host:8000], one for each server")
        for url in self.urls:
            check_url(url)

    @contextmanager
    def started(self, policy: LoadedModel, probe: Probe) -> Iterator[ServerFleet]:
        """Connections to the servers; each is verified before its first request."""
        client = Client(key_of(self.api_key_env), self.concurrency * len(self.urls), self.timeout)
        servers = [Server(url.rstrip("/"), client) for url in self.urls]
        weights = ServerWeights(probe, self.model)
        with closing(ServerFleet(servers, weights, concurrency=self.concurrency, retries=self.retries)) as fleet:
            yield fleet

    def require(self) -> None:
        """Refuse a key that no request could carry.

        Raises:
            ConfigError: naming its variable.
        """
        key_of(self.api_key_env)


def check_url(url: str) -> None:
    """Refuse an address that cannot be a server's, or that names a path of its API."""
    require_address("urls", url)
    if httpx.URL(url).path.rstrip("/").endswith("/v1"):
        raise ValueError(f"urls: give {url!r} without /v1")
