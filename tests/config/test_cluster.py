"""Where the jobs of a sweep run: each option with its plugin, or a message that says how to get it."""

from __future__ import annotations

import importlib.util

import hydra
import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.errors import MissingConfigException
from hydra.types import RunMode
from omegaconf import OmegaConf

from icr import config
from icr.config.messages import LAUNCHERS, composition_error, options

PLUGINS = {"slurm": "hydra_plugins.hydra_submitit_launcher", "ray": "hydra_plugins.hydra_ray_launcher"}


pytestmark = pytest.mark.usefixtures("compose")


def launcher(*overrides: str):
    return hydra.compose("config", list(overrides), return_hydra_config=True).hydra.launcher


def test_every_option_is_known():
    assert set(options(config.conf_dir(), "cluster")) == set(PLUGINS) <= set(LAUNCHERS.values())


@pytest.mark.parametrize("option", PLUGINS)
def test_it_composes_or_says_what_to_install(option):
    if importlib.util.find_spec(PLUGINS[option]):
        assert PLUGINS[option] in launcher(f"cluster={option}")._target_
        return
    with pytest.raises(MissingConfigException) as missing:
        launcher(f"cluster={option}")
    message = composition_error(missing.value, config.conf_dir(), [], list)
    assert message == f"hydra/launcher={option} needs its plugin: pip install 'icr[{option}]'."


def test_a_search_says_what_to_install():
    missing = MissingConfigException("In 'hydra/config': Could not find 'hydra/sweeper/optuna'")
    message = composition_error(missing, config.conf_dir(), [], list)
    assert message == "hydra/sweeper=optuna needs its plugin: pip install 'icr[optuna]'."


def test_a_slurm_job_has_one_task_a_device():
    node = launcher("cluster=slurm", "trainer.devices=8", "hydra.launcher.partition=gpu")
    assert (node.nodes, node.gpus_per_node, node.tasks_per_node, node.partition) == (1, 8, 8, "gpu")


def test_the_cluster_is_no_setting_of_the_run(compose):
    with_cluster, without = (compose(*choice, "run.dir=x") for choice in (["cluster=slurm"], []))
    assert OmegaConf.to_container(with_cluster, resolve=True) == OmegaConf.to_container(without, resolve=True)


@pytest.mark.parametrize(("mode", "group"), [(RunMode.MULTIRUN, "alphas"), (RunMode.RUN, None)])
def test_jobs_of_a_sweep_are_one_group_in_wandb_by_the_name_of_its_folder(mode, group, monkeypatch):
    cfg = hydra.compose("config", ["logger=wandb", "run.dir=runs/alphas"], return_hydra_config=True)
    assert cfg.logger.group is None
    cfg.hydra.mode = mode
    monkeypatch.setattr(HydraConfig.instance(), "cfg", cfg)
    assert hydra.compose("config", ["logger=wandb"]).logger.group == group
