"""The commands that Hydra composes: their arguments, and how their mistakes end."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import accumulate

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from icr.config.files import conf_dir
from icr.config.messages import composition_error
from icr.config.nodes import nodes, unresolved
from icr.errors import ConfigError, ICRError, Reported, one_line
from icr.terminal import Exit, complain, guarded

begun = ContextVar("begun", default=False)
"""Whether a job of the command that runs has begun."""

ENVIRONMENT = {"TOKENIZERS_PARALLELISM": "false", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "256"}
"""Set where they are not. oneDNN compiles code for each shape of a product and keeps it, 1024 of them by itself, half a
MiB each. A training step has some sixty, and the next one, of other lengths, sixty others."""
DEPTH = 20
"""Most brackets within brackets of an argument."""


def run_app(
    app: Callable[[], object], arguments: Sequence[str] | None, *, stopped: str = "stopped.", name: str = "config"
) -> int:
    """Call a `hydra.main` function with the arguments of a command line.

    Args:
        app: decorated with `hydra.main`; what it raises is said here.
        arguments: None takes those of this process.
        stopped: what to say after Ctrl-C.
        name: of the configuration in `conf/` that the function composes.

    Returns:
        The exit code. Hydra itself exits after `--help` and the like.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"
    for variable, value in ENVIRONMENT.items():
        os.environ.setdefault(variable, value)
    sys.argv[1:] = as_overrides(sys.argv[1:] if arguments is None else arguments)
    begun.set(False)

    def body() -> int | None:
        _check_size(sys.argv[1:])
        try:
            app()
        except HydraException as error:
            raise ConfigError(_explain(error, name)) from error
        except OmegaConfBaseException as error:
            cause = error.__cause__
            raise cause if isinstance(cause, ICRError) else ConfigError(unresolved(error)) from error
        except (ValueError, RecursionError, YAMLError) as error:
            if begun.get():
                raise  # A defect. Before, it is about the command line and files of settings.
            raise ConfigError(_explain(error, name)) from error
        except Reported:
            return Exit.MISTAKE
        return None

    return guarded(body, stopped)


@contextmanager
def said() -> Iterator[None]:
    """Within a job: say what the user can put right, and end the command, or this job of a sweep."""
    begun.set(True)
    config = HydraConfig.get()
    name = config.job.override_dirname if config.mode == RunMode.MULTIRUN else ""
    try:
        yield
    except (ICRError, OSError) as error:
        status = complain(error, name)
        if name:
            raise Reported(name) from error  # Only now: a sweep's other jobs go on.
        # Of any other exception Hydra would say in which job it was.
        raise SystemExit(status) from error


def as_overrides(arguments: Sequence[str]) -> list[str]:
    """The arguments as Hydra takes them: `langs=[en,es]`, a list in place of an option, is `langs.codes=[en,es]`.

    A path with `{language}` in it is quoted, whose braces would begin a dictionary, and so is each in a list.
    `langs=low_resource` stays as it is, and so does every other argument.
    """
    codes = [re.sub(r"^langs=(?=\s*\[)", "langs.codes=", argument) for argument in arguments]
    path = re.compile(r"(?<=[=\[,])[^\[\],{}]*\{language\}[^\[\],{}]*")
    quoted = {"'", '"'}
    return [word if quoted & {*word} else path.sub(lambda found: f"'{found[0]}'", word) for word in codes]


def config_text(cfg: DictConfig) -> str:
    """A composed configuration as a run directory keeps it."""
    return OmegaConf.to_yaml(cfg, resolve=True)


def _check_size(arguments: Sequence[str]) -> None:
    """Refuse what no parser takes apart: numbers of thousands of digits, lists in scores of lists."""
    for argument in arguments:
        depths = accumulate((character in "[{(") - (character in ")}]") for character in argument)
        if re.search(r"\d{1000}", argument) or max(depths, default=0) > DEPTH:
            raise ConfigError(f"{one_line(argument.partition('=')[0], 80)}: its value is too long to be a setting.")


def _explain(error: Exception, name: str) -> str:
    """A composition error as one paragraph, with the nearest valid key or option."""
    conf = conf_dir()
    chosen = [text for text in sys.argv[1:] if "=" in text and (conf / text.partition("=")[0]).is_dir()]
    command = "icr run" if name == "config" else f"icr {name}"
    return composition_error(error, conf, chosen, lambda: _all_keys(name, chosen), command)


def _all_keys(name: str, chosen: Sequence[str]) -> list[str]:
    """Every key of the configuration, dotted, with the groups as chosen."""
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        try:
            cfg = hydra.compose(name, list(chosen))
        except HydraException:
            cfg = hydra.compose(name)
        return [key for key, _ in nodes(cfg)]
