"""One job of `icr doctor`: findings and plan of a composed configuration, printed and written."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path

from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import MissingMandatoryValue
from rich.console import Console

from icr import config
from icr.config.nodes import typed
from icr.doctor.checks.examine import Examination
from icr.doctor.findings import FAIL
from icr.doctor.offline import offline
from icr.doctor.plan.architecture import architecture
from icr.doctor.plan.hardware import DEVICES, THIS, this_machine
from icr.doctor.plan.phases import Plan, make_plan
from icr.doctor.plan.workload import Workload, workload
from icr.doctor.settings import DoctorSettings
from icr.doctor.setup import Setup, setup_of
from icr.doctor.show import show_findings, show_plan, verdict
from icr.errors import ModelError
from icr.rundir.atomic import write_json


def job(cfg: DictConfig) -> int:
    """Print the findings and the plan, and return how many checks failed."""
    doctor = typed(DoctorSettings, "doctor", OmegaConf.to_container(cfg.doctor, resolve=True))
    with open_dict(cfg):
        del cfg["doctor"]
        if doctor.only == "plan":
            _stand_in(cfg.data)
    settings = config.build(cfg)
    setup = setup_of(settings, "cpu" if settings.trainer.accelerator == "cpu" else "cuda")
    console = Console()
    results: dict = {}
    with Console(stderr=True).status("") as status:
        tell = lambda doing: status.update(f"{doing} …")  # noqa: E731
        plan, work = None, None
        examination = Examination(settings, doctor, setup, tell)
        if doctor.only != "check":
            tell("planning")
            try:
                with offline() if doctor.only == "plan" else nullcontext():
                    plan, work = planned(settings, doctor, setup)
            except ModelError:
                if doctor.only == "plan":
                    raise
                # The checks find the same, and say what to do.
        if doctor.only != "plan":
            examination.machine(Path(cfg.run.dir), plan and plan.disk)
            examination.models_and_prompts()
        devices = {
            name: this_machine(setup.device) if name == THIS else DEVICES[name] for name in doctor.devices if plan
        }
    if doctor.only != "plan":
        show_findings(examination.findings, console)
        results["findings"] = [asdict(finding) for finding in examination.findings]
    if plan:
        show_plan(plan, work, devices, doctor, console)
        hours = {k: {p.name: plan.hours(p, d, doctor) for p in plan.phases} for k, d in devices.items()}
        results["plan"] = {**plan.as_dict(), "hours": hours, "fits": {k: plan.fits(d) for k, d in devices.items()}}
    if doctor.json:
        write_json(Path(doctor.json), results)
    if doctor.only != "plan":
        console.print(verdict(examination.findings))
    return sum(finding.level == FAIL for finding in examination.findings)


def planned(settings: config.Settings, doctor: DoctorSettings, setup: Setup) -> tuple[Plan, Workload]:
    """The plan, and the prompts that it is for.

    Raises:
        ModelError: the model is neither on this machine nor described.
    """
    shape = settings.model.shape
    policy = architecture(settings.model.path, shape, settings.model.loader)
    try:
        reference = architecture(settings.reward_pair.reference, shape, settings.model.loader)
    except ModelError:
        reference = replace(policy, path=settings.reward_pair.reference, base=None)
    try:
        renderer = settings.model.loader.renderer(settings.model.path)
    except ModelError:
        if policy.local:
            raise
        renderer = None
    work = workload(settings, doctor, renderer, policy.context)
    return make_plan(settings, doctor, setup, (policy, reference), work), work


def _stand_in(data: DictConfig) -> None:
    """A plan does without prompts: it says what it assumes in their place."""
    for key in data:
        try:
            data[key]
        except MissingMandatoryValue:
            data[key] = f"data.{key} is not given"
