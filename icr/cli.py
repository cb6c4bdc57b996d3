"""What the commands share: a quiet terminal, and Hydra's errors as one paragraph on standard error."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Callable, Sequence

import hydra
import transformers
from hydra.errors import HydraException

from icr import config
from icr.config.messages import composition_error, system_error
from icr.errors import ConfigError, Reported
from icr.launch import processes as launch


def quiet() -> None:
    """Our own log lines on the terminal, and nobody else's chatter."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", force=True)
    logging.getLogger("icr").setLevel(logging.INFO)
    logging.getLogger("hydra").setLevel(logging.CRITICAL)
    for name in ("lightning.pytorch", "lightning.fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.WARNING)
    transformers.logging.disable_progress_bar()
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # It misses kernels that a CPU can do without.
    # Pairs are collated in microseconds: loader workers would cost more than they save.
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    # optim=paged_adamw8bit where there is nothing to page.
    warnings.filterwarnings("ignore", message="Paged optimizers are not supported on CPU.*")
    # Between two of Lightning's own dependencies.
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")


def report(error: Exception, job: str = "") -> None:
    """One paragraph on standard error; of a configuration that all processes of a world refuse, one in all."""
    started = launch.environment()
    if isinstance(error, ConfigError) and started and started.global_rank():
        return
    text = system_error(error) if isinstance(error, OSError) else str(error)
    print(f"icr: {job}{': ' if job else ''}{text}", file=sys.stderr)


def run_app(app: Callable[[], object], stopped: str, name: str = "config") -> int:
    """Call a `hydra.main` function; what the user can put right becomes a paragraph.

    Args:
        stopped: what to say after Ctrl-C.
        name: of the configuration in `conf/` that the function composes.

    Returns:
        The exit code: 0, 2 for a mistake of the user's, 130 after Ctrl-C.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        app()
    except HydraException as error:
        print(f"icr: {_explain(error, name)}", file=sys.stderr)
        return 2
    except ValueError as error:
        if "Config group override" not in str(error):
            raise
        print(f"icr: {_explain(error, name)}", file=sys.stderr)
        return 2
    except Reported:
        return 2
    except OSError as error:
        report(error)
        return 2
    except KeyboardInterrupt:
        print(f"icr: {stopped}", file=sys.stderr)
        return 130
    return 0


def _explain(error: Exception, name: str) -> str:
    """A composition error as one paragraph, with the nearest valid key or option."""
    conf = config.conf_dir()
    chosen = [text for text in sys.argv[1:] if "=" in text and (conf / text.partition("=")[0]).is_dir()]
    return composition_error(error, conf, chosen, lambda: _all_keys(name, chosen))


def _all_keys(name: str, chosen: Sequence[str]) -> list[str]:
    """Every key of the configuration, dotted, with the groups as chosen."""
    with hydra.initialize_config_dir(str(config.conf_dir()), version_base="1.3"):
        try:
            cfg = hydra.compose(name, chosen)
        except HydraException:
            cfg = hydra.compose(name)
        return [key for key, _ in config.nodes(cfg)]
