"""All checks, in the order in which a failure makes the later ones pointless."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch

from icr.config import Settings
from icr.doctor.checks import machine, models, precision, prompts, tokenizer, training
from icr.doctor.findings import FAIL, Finding, findings_of, warned
from icr.doctor.plan.architecture import architecture
from icr.doctor.plan.workload import prompts_of, workload
from icr.doctor.settings import DoctorSettings
from icr.doctor.setup import Setup
from icr.models import LoadedModel, Renderer
from icr.rounds import ImplicitReward
from icr.types import Prompt, Response


@dataclass
class Examination:
    """The checks of one run.

    Attributes:
        settings, doctor, setup: what is examined, and how.
        tell: called with what is being done.
        findings: what was found so far.
    """

    settings: Settings
    doctor: DoctorSettings
    setup: Setup
    tell: Callable[[str], object] = lambda doing: None
    findings: list[Finding] = field(default_factory=list)

    def machine(self, folder: Path, needed: float | None) -> None:
        """Packages, devices, the size of the optimiser's steps, and disk.

        Args:
            folder: the run directory to be.
            needed: bytes that it will hold; None where there is no plan.
        """
        self.tell("this machine")
        self._find("packages", lambda: machine.packages(self.settings, self.setup))
        self._find("devices", lambda: machine.devices(self.settings, self.setup))
        self._find("steps", lambda: training.steps(self.settings, self.setup))
        if needed is not None:
            self._find("disk", lambda: machine.disk(folder, needed))

    def models_and_prompts(self) -> None:
        """Tokenizers, prompts and weights."""
        renderers = self._tokenizers()
        self.tell("prompts")
        self._find("prompts", lambda: prompts.parallel(self.settings))
        if renderers and self._sound("prompts"):
            self._find("turn tokens", lambda: prompts.turn_tokens(self.settings, renderers["policy"]))
        if renderers:
            found = findings_of("configuration", lambda: self._architecture(renderers["policy"]))
            self.findings += found
            if self._sound("tokenizer", "vocabulary", "prompts", "configuration"):
                self._weights()

    @property
    def paths(self) -> dict[str, str]:
        """Models that the run starts from, by their part in it."""
        if not self.settings.scores:
            return {"policy": self.settings.model.path}
        pair = self.settings.reward_pair
        return {"policy": pair.policy, "reference": pair.reference}

    def _find(self, name: str, check: Callable[[], Iterable[Finding]]) -> None:
        self.findings += findings_of(name, check)

    def _sound(self, *names: str) -> bool:
        return not any(finding.level == FAIL and finding.name in names for finding in self.findings)

    def _tokenizers(self) -> dict[str, Renderer]:
        self.tell("tokenizers")
        renderers: dict[str, Renderer] = {}
        for role, path in self.paths.items():
            self._find("tokenizer", partial(self._tokenizer, renderers, role, path))
        if len(renderers) < len(self.paths):
            return {}
        policy, reference = renderers["policy"], renderers.get("reference")
        if reference:
            paths = self.paths["policy"], self.paths["reference"]
            self._find("vocabulary", lambda: tokenizer.vocabulary(policy, reference, paths))
            self._find("chat template", lambda: tokenizer.template(policy, reference))
        self._find("begin of sequence", lambda: tokenizer.begin(policy))
        self._find("assistant header", lambda: tokenizer.header(policy))
        self._find("end of turn", lambda: tokenizer.end_of_turn(policy))
        self._find("padding", lambda: tokenizer.padding(policy))
        return renderers

    def _tokenizer(self, renderers: dict[str, Renderer], role: str, path: str) -> list[Finding]:
        renderers[role] = self.settings.model.loader.renderer(path)
        return []

    def _architecture(self, renderer: Renderer) -> list[Finding]:
        shape = self.settings.model.shape
        policy = architecture(self.settings.model.path, shape, self.settings.model.loader)
        found = [
            warned("configuration", f"model.shape is another model's: {line}", "Mend or remove model.shape.")
            for line in policy.differences
        ]
        work = workload(self.settings, self.doctor, renderer, policy.context)
        return [*found, *prompts.context(work, policy.context, self.settings)]

    def _weights(self) -> None:
        if self.settings.model.from_scratch:
            return
        codes, count = self.settings.langs.codes, self.doctor.samples
        asked = models.few(prompts_of(self.settings), codes, count)
        responses: list[Response] = []
        results: dict[str, models.Scored] = {}
        for role, path in self.paths.items():
            self._find(f"{role}'s weights", partial(self._one, results, role, path, asked, responses))
        whole = {role: result for role, result in results.items() if result.alone}
        for role, result in whole.items():
            self._find(f"{role}'s scores", partial(models.batches, result, role))
        reward = self.settings.reward
        if {"policy", "reference"} <= whole.keys() and isinstance(reward, ImplicitReward):
            self._find("rewards", partial(models.rewards, whole["policy"], whole["reference"], reward))

    def _one(
        self,
        results: dict[str, models.Scored],
        role: str,
        path: str,
        asked: Sequence[Prompt],
        responses: list[Response],
    ) -> list[Finding]:
        """Load one model, have it do its part, and let go of it: both may not fit at once."""
        self._find(f"{role}'s precision", partial(precision.stored, path, role))
        self.tell(f"{role}: loading {path}")
        loaded: LoadedModel = self.settings.model.loader.load(path, self.setup.device)
        found = list(models.weights(loaded, role))
        if any(finding.level == FAIL for finding in found):
            return found
        if role == "policy":
            self.tell(f"{role}: sampling")
            responses += models.sampled(loaded, asked, self.settings, self.doctor)
            found += models.end_learnt(loaded, responses)
        if responses:
            self.tell(f"{role}: scoring")
            results[role] = models.scored(loaded, responses)
        del loaded
        if self.setup.device == "cuda":
            torch.cuda.empty_cache()
        return found
