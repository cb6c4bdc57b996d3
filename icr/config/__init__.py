"""From `conf/` to checked settings: the only room beside the entry points that knows Hydra."""

from icr.config.build import build
from icr.config.files import conf_dir
from icr.config.nodes import nodes
from icr.config.settings import Settings

__all__ = ["Settings", "build", "conf_dir", "nodes"]
