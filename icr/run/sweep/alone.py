"""`python -m icr.run.sweep.alone`: the process of one job of a sweep, which reads its configuration from stdin."""

from __future__ import annotations

import copy
import pickle
import sys

from hydra._internal.hydra import Hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.utils import setup_globals

from icr.config import files  # noqa: F401  The resolvers of conf/.
from icr.errors import Reported
from icr.launch.parent import follow
from icr.run.sweep.attempt import recorded
from icr.run.sweep.plan import described, folder
from icr.terminal import Exit, guarded


def work() -> int:
    """The job, in the surroundings that Hydra's launcher has made for it."""
    setup_globals()
    Plugins.instance()  # Where options are looked for is known to plugins.
    config, search_path = pickle.load(sys.stdin.buffer)
    Hydra.create_main_hydra2(config.hydra.job.name, search_path)
    HydraConfig.instance().cfg = config
    cfg = copy.deepcopy(config)
    del cfg["hydra"]  # As jobs are called.
    try:
        recorded(cfg, folder(config), described(config))
    except Reported:
        return Exit.MISTAKE
    return Exit.DONE


if __name__ == "__main__":
    follow()
    sys.exit(guarded(work))
