"""Findings and plan on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from icr.doctor.findings import FAIL, PASS, WARN, Finding
from icr.doctor.plan.hardware import GIB
from icr.doctor.plan.phases import Hours, Plan
from icr.doctor.plan.workload import Workload

Captioned = tuple[Table, str]
PROCESS = (
    "memory is of tensors: a process on a CPU takes some 0.7 GiB besides, and its allocator keeps what it has been "
    "given back, as much again in a training and more where no two steps have the same shapes"
)
MARKS = {PASS: "[green]✓[/] pass", WARN: "[yellow]![/] warn", FAIL: "[red]✗[/] fail"}


def show_findings(findings: Sequence[Finding], console: Console) -> None:
    """One line per check, with what to do."""
    table = Table(title="Checks", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, show_header=False)
    for _ in range(2):
        table.add_column(no_wrap=True)
    for finding in findings:
        seen = escape(finding.seen)
        if finding.advice:
            seen += f"\n[bold]→ {escape(finding.advice)}[/]"
        table.add_row(MARKS[finding.level], finding.name, seen)
    console.print(table)


def verdict(findings: Sequence[Finding]) -> str:
    """The last line."""
    counts = {level: sum(finding.level == level for finding in findings) for level in MARKS}
    plural = {level: "" if count == 1 else "s" for level, count in counts.items()}
    return f"{counts[PASS]} passed, {counts[WARN]} warning{plural[WARN]}, {counts[FAIL]} failure{plural[FAIL]}"


def show_plan(plan: Plan, work: Workload, hours: Mapping[str, Hours], console: Console) -> None:
    """Prompts by language, phases, and hours by device, by the names that `doctor.devices` gives them."""
    for table, caption in (_prompts(work), _phases(plan), _hours(plan, hours)):
        console.print(table, end="")
        console.print(f"{caption}\n", style="dim")
    measured = [f"{name} is {of.device.name}" for name, of in hours.items() if of.device.here]
    if any(of.device.here == "cpu" for of in hours.values()):
        measured.append(PROCESS)
    for note in [*measured, f"the run directory takes at most {plan.disk / GIB:.2f} GiB", *plan.notes]:
        console.print(f"• {escape(note)}.")


def _prompts(work: Workload) -> Captioned:
    title = {"read": "", "estimated": ", estimated", "assumed": ", assumed"}[work.source]
    caption = (
        "Tokens per prompt as it is answered and, on average, as it is scored; characters per token, template apart."
    )
    table = _table(
        f"Prompts{title}", "language", *("prompts", "too long", "tokens", "longest", "scored", "char./token")
    )
    for code, lengths in work.languages.items():
        if not len(lengths.prompts):
            table.add_row(code, "0", str(lengths.skipped), *["–"] * 4)
            continue
        table.add_row(
            code,
            f"{len(lengths.prompts):,}",
            f"{lengths.skipped:,}",
            f"{lengths.prompts.mean():.0f}",
            f"{lengths.prompts.max():,}",
            f"{lengths.rewards.mean():.0f}",
            f"{lengths.characters / int(lengths.prompts.sum()):.2f}" if lengths.characters else "–",
        )
    return table, caption


def _phases(plan: Plan) -> Captioned:
    unit, name = (GIB, "GiB") if plan.peak() > GIB else (GIB / 1024, "MiB")
    model = f"{plan.parameters / 1e9:.2f} B" if plan.parameters > 1e9 else f"{plan.parameters / 1e6:.2f} M"
    on = f"{plan.devices} device{'s' if plan.devices > 1 else ''}"
    table = _table(
        f"A round of {model} parameters on {on}",
        "phase",
        "tokens",
        "FLOPs",
        "weights",
        "grads",
        "optim.",
        "working",
        "total",
    )
    caption = f"{name} on one device at the peak of each phase; tokens and operations of all devices together."
    for phase in plan.phases:
        memory = phase.memory
        parts = (memory.weights, memory.gradients, memory.optimiser, memory.working, memory.total)
        sizes = [f"{part / unit:.1f}" if part else "–" for part in parts]
        table.add_row(phase.name, _short(phase.tokens), f"{phase.flops:.1e}", *sizes)
    return table, caption


def _hours(plan: Plan, hours: Mapping[str, Hours]) -> Captioned:
    count = f"{plan.devices} × " if plan.devices > 1 else ""
    table = _table(f"Time, of {plan.rounds} rounds", "phase", *(f"{count}{name}" for name in hours))
    for phase in plan.phases:
        table.add_row(phase.name, *(_time(of.round[phase.name]) for of in hours.values()))
    sums = [sum(of.round.values()) for of in hours.values()]
    table.add_section()
    table.add_row("a round", *map(_time, sums))
    table.add_row("the run", *(f"[bold]{_time(total * plan.rounds)}[/]" for total in sums))
    if plan.diagnosis:
        table.add_row("diagnosis", *(_time(sum(of.diagnosis.values())) for of in hours.values()))
    devices = [of.device for of in hours.values()]
    table.add_row("memory", *(_room(plan.peak() / device.memory, plan.fits(device)) for device in devices))
    caption = (
        "Arithmetic at doctor.utilisation of the peak; decoding by what is read from memory or by "
        "doctor.layer_seconds, and by the draws. Loading and saving are not counted. Diagnosis: by icr doctor "
        "diagnose, on one device. Memory: the largest phase's share of the device's."
    )
    return table, caption


def _table(title: str, *headings: str) -> Table:
    """The first column is words, the others are numbers."""
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="right" if place else "left", no_wrap=True)
    return table


def _room(share: float, fits: bool) -> str:
    text = f"{share:.0%}" if share < 10 else f"{share:.0f} ×"
    return text if fits else f"[red]{text}[/]"


def _short(count: float) -> str:
    for power, name in ((9, "G"), (6, "M"), (3, "k")):
        if count >= 10**power:
            return f"{count / 10**power:.1f} {name}"
    return f"{count:.0f}"


def _time(hours: float) -> str:
    return f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.0f} min" if hours >= 1 / 60 else f"{3600 * hours:.0f} s"
