"""The prompts: parallel, translated, within the context, and how many tokens each language takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from icr.config import Settings
from icr.data import ParallelPrompts
from icr.doctor.findings import Finding, failed, passed, warned
from icr.doctor.plan.workload import Workload, prompts_of, room
from icr.errors import DataError
from icr.models import Renderer

UNTRANSLATED = 0.2
"""Share of prompts that may be the English ones: names, code and sums stay as they are."""
SKIPPED = 0.1
"""Share of prompts that may be too long, before it is worth a word."""


def parallel(settings: Settings) -> Iterator[Finding]:
    """Every id in every language, counted where not.

    Raises:
        DataError: the prompts cannot be read at all.
    """
    try:
        prompts = prompts_of(settings)
    except DataError as error:
        yield failed("prompts", str(error), _missing(settings))
        return
    per = {code: sum(prompt.language == code for prompt in prompts) for code in settings.langs.codes}
    counts = ", ".join(f"{code} {count}" for code, count in per.items())
    if empty := [code for code, count in per.items() if not count]:
        yield failed("prompts", f"none in {', '.join(empty)} (found: {counts})", "Leave these languages out of langs.")
    elif lost := _missing(settings):
        yield warned("prompts", f"{counts}; left out: {lost}", "Complete the files, or leave it at that.")
    else:
        yield passed("prompts", f"{counts}, joined by id")
    if not settings.samples:
        return  # What is given has no English side.
    alike: dict[str, int] = {}
    for prompt in prompts:
        if prompt.language != "en":
            alike[prompt.language] = alike.get(prompt.language, 0) + (prompt.text == prompt.english)
    if many := {code: n / per[code] for code, n in alike.items() if n > UNTRANSLATED * per[code]}:
        shares = ", ".join(f"{code} {share:.0%}" for code, share in many.items())
        yield warned("translation", f"the same text as in English: {shares}", "See whether these files are translated.")
    elif alike:
        yield passed("translation", "prompts differ from the English ones")


def turn_tokens(settings: Settings, renderer: Renderer) -> Iterator[Finding]:
    """Prompts that hold tokens of turns, which a run leaves out."""
    found = Counter(
        prompt.language
        for prompt in prompts_of(settings)
        if renderer.has_turn_tokens(prompt.text) or renderer.has_turn_tokens(prompt.english)
    )
    if found:
        counts = ", ".join(f"{code} {count}" for code, count in found.items())
        seen = f"{found.total()} prompts hold tokens of the chat template or the tokenizer: {counts}"
        yield warned(
            "turn tokens", seen, "A run leaves them out; write such tokens in another way to keep the prompts."
        )
    else:
        yield passed("turn tokens", "none in the prompts")


def _missing(settings: Settings) -> str:
    """What each language has that another lacks; empty where the source does not join by id."""
    if not isinstance(settings.data, ParallelPrompts):
        return ""
    everything = replace(settings.data, on_missing="drop", prompts_per_language=None)
    try:
        skipped = everything.prompts(settings.langs.codes, settings.stage.split).skipped
    except DataError:
        return ""
    return "; ".join(
        f"{code}: {', '.join(f'{n} × {why}' for why, n in rows.items())}" for code, rows in skipped.items()
    )


def context(work: Workload, limit: int | None, settings: Settings) -> Iterator[Finding]:
    """Prompts that leave no room for a response, or for the answers that are given with them."""
    if work.source == "assumed":
        return
    skipped = {code: lengths.skipped for code, lengths in work.languages.items() if lengths.skipped}
    total = sum(skipped.values())
    counts = ", ".join(f"{code} {n}" for code, n in skipped.items())
    needed, remedy = room(settings, limit)
    if limit is None:
        yield warned("context", "the model's configuration states none", "See that prompts and responses fit.")
    elif not work.count:
        yield failed("context", f"no prompt fits {needed}", remedy)
    elif total:
        level = warned if total > SKIPPED * (work.count + total) else passed
        advice = (remedy,) if level is warned else ()
        yield level("context", f"{total} of {work.count + total} prompts do not fit {needed}: {counts}", *advice)
    else:
        yield passed("context", f"all {work.count} prompts fit {needed}")
