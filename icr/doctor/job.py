"""One job of `icr doctor`: findings and plan of a composed configuration, or a diagnosis, printed and written."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path

from omegaconf import DictConfig, open_dict
from omegaconf.errors import MissingMandatoryValue
from rich.console import Console

from icr import config
from icr.config.nodes import typed, values_of
from icr.doctor.checks.examine import Examination
from icr.doctor.diagnose.examine import Diagnostics
from icr.doctor.diagnose.page import write_page
from icr.doctor.diagnose.show import show
from icr.doctor.findings import FAIL
from icr.doctor.offline import offline
from icr.doctor.plan.architecture import architecture
from icr.doctor.plan.diagnosis import labelled_lengths
from icr.doctor.plan.hardware import DEVICES, THIS, this_machine
from icr.doctor.plan.make import make_plan
from icr.doctor.plan.phases import Plan
from icr.doctor.plan.workload import Workload, counters, workload
from icr.doctor.settings import DoctorSettings
from icr.doctor.setup import Setup, setup_of
from icr.doctor.show import show_findings, show_plan, verdict
from icr.errors import ModelError
from icr.evaluation.diagnosis.verdict import Level
from icr.rundir.atomic import write_json


def job(cfg: DictConfig) -> int:
    """Print the findings and the plan, or the diagnosis; returns how many checks failed, or languages are no-go."""
    doctor = typed(DoctorSettings, "doctor", values_of(cfg, "doctor"))
    with open_dict(cfg):
        del cfg["doctor"]
        if doctor.only == "plan":
            _stand_in(cfg.data)
    settings = config.build(cfg)
    setup = setup_of(settings, "cpu" if settings.trainer.accelerator == "cpu" else "cuda")
    console = Console()
    if doctor.only == "diagnose":
        return _diagnosed(settings, doctor, setup, console)
    results: dict[str, object] = {}
    with Console(stderr=True).status("") as status:

        def tell(doing: str) -> None:
            status.update(f"{doing} …")

        examination = Examination(settings, doctor, setup, tell)
        planning = _planning(settings, doctor, setup, tell)
        if doctor.only != "plan":
            examination.machine(Path(cfg.run.dir), planning[0].disk if planning else None)
            examination.models_and_prompts()
    if doctor.only != "plan":
        show_findings(examination.findings, console)
        results["findings"] = [asdict(finding) for finding in examination.findings]
    if planning:
        results["plan"] = _shown(*planning, doctor, setup, console)
    if doctor.json:
        write_json(Path(doctor.json), results)
    if doctor.only != "plan":
        console.print(verdict(examination.findings))
    return sum(finding.level == FAIL for finding in examination.findings)


def _diagnosed(settings: config.Settings, doctor: DoctorSettings, setup: Setup, console: Console) -> int:
    """Diagnose, print, write, and return how many languages are no-go."""
    result = Diagnostics(settings, doctor, setup.device).run()
    show(result, console)
    if doctor.json:
        write_json(Path(doctor.json), result.as_json())
    if doctor.page:
        write_page(result, Path(doctor.page))
        console.print(f"page     {doctor.page}", markup=False)
    return len(result.at(Level.NO_GO))


def _planning(
    settings: config.Settings, doctor: DoctorSettings, setup: Setup, tell: Callable[[str], None]
) -> tuple[Plan, Workload] | None:
    """The plan, unless checks alone are asked for, or they will find that the model is not there."""
    if doctor.only == "check":
        return None
    tell("planning")
    try:
        with offline() if doctor.only == "plan" else nullcontext():
            return planned(settings, doctor, setup)
    except ModelError:
        if doctor.only == "plan":
            raise
        return None


def _shown(plan: Plan, work: Workload, doctor: DoctorSettings, setup: Setup, console: Console) -> dict[str, object]:
    """Print the plan, and return it for JSON."""
    devices = {name: this_machine(setup.device) if name == THIS else DEVICES[name] for name in doctor.devices}
    hours = {name: plan.on(device, doctor) for name, device in devices.items()}
    show_plan(plan, work, hours, console)
    return {
        **plan.as_dict(),
        "hours": {name: of.round for name, of in hours.items()},
        "diagnosis_hours": {name: of.diagnosis for name, of in hours.items()},
        "fits": {name: plan.fits(device) for name, device in devices.items()},
    }


def planned(settings: config.Settings, doctor: DoctorSettings, setup: Setup) -> tuple[Plan, Workload]:
    """The plan, and the prompts that it is for.

    Raises:
        DataError: labelled preferences cannot be read.
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
    given = labelled_lengths(settings, doctor, *counters(renderer))
    return make_plan(settings, doctor, setup, (policy, reference), work, given), work


def _stand_in(data: DictConfig) -> None:
    """A plan does without prompts: it says what it assumes in their place."""
    for key in map(str, data):
        try:
            data[key]
        except MissingMandatoryValue:
            data[key] = f"data.{key} is not given"
