"""`python -m icr.launch.worker <run directory>`: one of the processes that `icr.run` starts for several devices."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import cast

from omegaconf import DictConfig, OmegaConf
from torch.distributed.elastic.multiprocessing.errors import get_error_handler

from icr import config, distributed, rundir
from icr.errors import ICRError, RunError
from icr.launch import processes as launch
from icr.run.job import prepared, run_with_controls
from icr.rundir import Layout
from icr.terminal import quiet, system_error


def work(directory: Path) -> None:
    """The run whose configuration is in the directory."""
    layout = Layout(directory)
    settings = _settings(layout)
    controls = {name: _settings(layout.control(name)) for name in settings.controls}
    with launch.joined(settings.trainer), rundir.held_by_rank(directory, distributed.rank()):
        run_with_controls(directory, prepared(directory, settings, controls))


def _settings(layout: Layout) -> config.Settings:
    return config.build(cast(DictConfig, OmegaConf.load(layout.config)))


def main() -> int:
    """Work, and leave what went wrong to the process that started this one."""
    quiet()
    errors = get_error_handler()
    errors.initialize()
    try:
        work(Path(sys.argv[1]))
    except (ICRError, OSError) as error:
        text = system_error(error) if isinstance(error, OSError) else str(error)
        reported = RunError(text)
        errors.record_exception(reported.with_traceback(error.__traceback__))
        return 2
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        errors.record_exception(error)
        return 1
    return 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # An interpreter's own end may wait for connections to ranks that are gone.
    os._exit(status)
