"""From `conf/` to checked settings: the only room beside the entry points that knows Hydra.

`build` and `Settings` import torch, and are imported when they are asked for: composing and `--help` do without.
"""

from typing import TYPE_CHECKING

from icr.config.files import conf_dir
from icr.config.nodes import nodes
from icr.lazy import lazily

if TYPE_CHECKING:
    from icr.config.assemble import build
    from icr.config.evaluating import Measurement, build_evaluation
    from icr.config.settings import Settings

__all__ = ["Measurement", "Settings", "build", "build_evaluation", "conf_dir", "nodes"]

__getattr__ = lazily(
    __name__,
    {
        "icr.config.assemble": ["build"],
        "icr.config.evaluating": ["Measurement", "build_evaluation"],
        "icr.config.settings": ["Settings"],
    },
)
