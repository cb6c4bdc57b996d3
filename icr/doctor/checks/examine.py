"""All checks, in the order in which a failure makes the later ones pointless."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from icr.config import Settings
from icr.doctor.checks import machine as checks_machine
from icr.doctor.checks import models as checks_models
from icr.doctor.checks import prompts as checks_prompts
from icr.doctor.checks import tokenizer as checks_tokenizer
from icr.doctor.checks import training as checks_training
from icr.doctor.findings import FAIL, Finding, findings_of, warned
from icr.doctor.plan.architecture import architecture
from icr.doctor.plan.workload import prompts_of, workload
from icr.doctor.settings import DoctorSettings
from icr.doctor.setup import Setup
from icr.models.loading import LoadedModel
from icr.models.rendering import Renderer
from icr.types import Response


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
        self._find("packages", lambda: checks_machine.packages(self.settings, self.setup))
        self._find("devices", lambda: checks_machine.devices(self.settings, self.setup))
        self._find("steps", lambda: checks_training.steps(self.settings, self.setup))
        if needed is not None:
            self._find("disk", lambda: checks_machine.disk(folder, needed))

    def models_and_prompts(self) -> None:
        """Tokenizers, prompts and weights."""
        renderers = self._tokenizers()
        self.tell("prompts")
        self._find("prompts", lambda: checks_prompts.parallel(self.settings))
        if renderers:
            found = findings_of("configuration", lambda: self._architecture(renderers["policy"]))
            self.findings += found
            if self._sound("tokenizer", "vocabulary", "prompts", "configuration"):
                self._weights()

    @property
    def paths(self) -> dict[str, str]:
        """Models that the run starts from, by their part in it."""
        if self.settings.stage.name != "icr":  # The other stages train a single model.
            return {"policy": self.settings.model.path}
        pair = self.settings.reward_pair
        return {"policy": pair.policy, "reference": pair.reference}

    def _find(self, name: str, check: Callable) -> None:
        self.findings += findings_of(name, check)

    def _sound(self, *names: str) -> bool:
        return not any(finding.level == FAIL and finding.name in names for finding in self.findings)

    def _tokenizers(self) -> dict[str, Renderer]:
        self.tell("tokenizers")
        renderers: dict[str, Renderer] = {}
        for role, path in self.paths.items():
            self._find("tokenizer", lambda role=role, path=path: self._tokenizer(renderers, role, path))
        if len(renderers) < len(self.paths):
            return {}
        if "reference" in renderers:
            both = renderers["policy"], renderers["reference"]
            paths = tuple(self.paths.values())
            self._find("vocabulary", lambda: checks_tokenizer.vocabulary(*both, paths))
            self._find("chat template", lambda: checks_tokenizer.template(*both))
        for check in ("begin", "header", "end_of_turn", "padding"):
            self._find(check, lambda check=check: getattr(checks_tokenizer, check)(renderers["policy"]))
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
        return [*found, *checks_prompts.context(work, policy.context, self.settings.sampling.max_new_tokens)]

    def _weights(self) -> None:
        if self.settings.model.from_scratch:
            return
        codes, count = self.settings.langs.codes, self.doctor.samples
        prompts = checks_models.few(prompts_of(self.settings), codes, count)
        responses: list[Response] = []
        results: dict[str, checks_models.Scored] = {}
        for role, path in self.paths.items():
            self._find(
                f"{role}'s weights", lambda role=role, path=path: self._one(results, role, path, prompts, responses)
            )
        whole = {role: result for role, result in results.items() if result.alone}
        for role, result in whole.items():
            self._find(f"{role}'s scores", lambda role=role, result=result: checks_models.batches(result, role))
        if {"policy", "reference"} <= whole.keys() and hasattr(self.settings.reward, "beta"):
            beta = self.settings.reward.beta
            self._find("rewards", lambda: checks_models.rewards(whole["policy"], whole["reference"], beta))

    def _one(self, results: dict, role: str, path: str, prompts: list, responses: list[Response]) -> list[Finding]:
        """Load one model, have it do its part, and let go of it: both may not fit at once."""
        self.tell(f"{role}: loading {path}")
        loaded: LoadedModel = self.settings.model.loader.load(path, self.setup.device)
        found = list(checks_models.weights(loaded, role))
        if any(finding.level == FAIL for finding in found):
            return found
        if role == "policy":
            self.tell(f"{role}: sampling")
            responses += checks_models.sampled(loaded, prompts, self.settings, self.doctor)
            found += checks_models.end_learnt(loaded, responses)
        if responses:
            self.tell(f"{role}: scoring")
            results[role] = checks_models.scored(loaded, responses)
        del loaded
        if self.setup.device == "cuda":
            torch.cuda.empty_cache()
        return found
