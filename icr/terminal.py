"""How a command ends: its exit code, and what it says on standard error. The same for every word of `icr`."""

from __future__ import annotations

import errno
import logging
import os
import sys
import warnings
from collections.abc import Callable
from enum import IntEnum

from icr.errors import ICRError

FULL = (errno.ENOSPC, errno.EDQUOT)
UNUSABLE = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG)


class Exit(IntEnum):
    """Exit codes. A defect of `icr` itself ends with a traceback and Python's own 1."""

    DONE = 0
    """What was asked for is done."""
    FINDING = 1
    """The work is done, and what it found is bad: a check of the doctor has failed."""
    MISTAKE = 2
    """Something that the user can put right: command line, settings, data, model, run directory, disk, network."""
    STOPPED = 130
    """Ctrl-C."""


def guarded(body: Callable[[], int | None], stopped: str = "stopped.") -> int:
    """Run a command, and turn what the user can put right into a paragraph on standard error.

    Args:
        body: the command; what it returns is the exit code, None is 0.
        stopped: what to say after Ctrl-C.
    """
    try:
        return body() or Exit.DONE
    except (ICRError, OSError) as error:
        return complain(error)
    except KeyboardInterrupt:
        _say(stopped)
        return Exit.STOPPED


def complain(error: ICRError | OSError, job: str = "") -> Exit:
    """Print one paragraph, `icr: …`, and return the exit code; with `ICR_TRACEBACK` set, raise the error instead.

    Args:
        error: what the user can put right.
        job: of a sweep, where the error is one job's.
    """
    if os.environ.get("ICR_TRACEBACK"):
        raise error
    text = system_error(error) if isinstance(error, OSError) else str(error)
    _say(f"{job}: {text}" if job else text)
    return Exit.MISTAKE


def system_error(error: OSError) -> str:
    """What the operating system refused, and what to do about it."""
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in FULL:
        return (
            f"The disk is full{where}: {error.strerror}. Nothing half-written is trusted; free some space, and the "
            f"same command on the same run.dir goes on from the last complete stage."
        )
    if error.errno in UNUSABLE and error.filename:
        return (
            f"{error.filename} cannot be used: {error.strerror}. If it belongs to the run directory, give one that can "
            f"be written, as in run.dir=<folder>."
        )
    return str(error)


def quiet() -> None:
    """Our own log lines on the terminal, and nobody else's chatter. Imports transformers."""
    import transformers

    logging.basicConfig(level=logging.WARNING, format="%(message)s", force=True)
    logging.getLogger("icr").setLevel(logging.INFO)
    logging.getLogger("hydra").setLevel(logging.CRITICAL)
    for name in ("lightning.pytorch", "lightning.fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.WARNING)
    transformers.logging.disable_progress_bar()
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # It misses kernels that a CPU can do without.
    # Pairs are collated in microseconds: loader workers would cost more than they save.
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    # A run that goes on within a round: its order is StepPlan's, and Lightning passes over what it has had.
    warnings.filterwarnings("ignore", message="You're resuming from a checkpoint that ended before the epoch ended")
    warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
    # optim=paged_adamw8bit where there is nothing to page.
    warnings.filterwarnings("ignore", message="Paged optimizers are not supported on CPU.*")
    # Between two of Lightning's own dependencies.
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")


def _say(text: str) -> None:
    print(f"icr: {text}", file=sys.stderr)
