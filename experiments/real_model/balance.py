"""English pairs whose chosen answer is the less likely one as often as the more likely one.

A stronger model's answer is mostly the less likely one under a small base model, and who prefers the less likely text
is right without having learnt anything else. Of pairs in balance, nothing is learnt by preferring either.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from icr.rundir import open_run

CHOSEN, REJECTED = "reference_chosen_logp", "reference_rejected_logp"


def write(path: Path, files: Mapping[Path, Path]) -> None:
    """Write all pairs of the rarer order of each file, and as many of the other order.

    Args:
        path: the file.
        files: of pairs, each with the run directory of a model that was aligned with it, which knows their log-probs
            under the base. The answers of a pair are of one length, so sums can be compared.
    """
    rows = [row for file, directory in files.items() for row in _balanced(file, directory)]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def _balanced(file: Path, directory: Path) -> list[dict[str, str]]:
    logps = open_run(directory).table(0, "pairs", ["id", CHOSEN, REJECTED]).set_index("id")
    by_order: dict[bool, list[dict[str, str]]] = {True: [], False: []}
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines()):
        row, pair = json.loads(line), logps.loc[str(number)]  # Pairs of a file are named by their lines.
        by_order[bool(pair[CHOSEN] < pair[REJECTED])].append(row)
    fewer = min(map(len, by_order.values()))
    return [row for rows in by_order.values() for row in rows[:fewer]]
