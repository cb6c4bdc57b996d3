"""The list of metric names: what trainings log is in it, and what is in it is logged."""

from __future__ import annotations

import pytest

from icr.losses import DPO, IPO, KTO, NLL
from icr.metrics import GLOBAL_STEP, MODEL, ROUND, STEP, Metric, logged, names, round_names

LANGUAGES = ("en", "sw")


@pytest.fixture(scope="module")
def trained(make_model, bare_pairs, with_reference, fit) -> dict[str, set[str]]:
    """Names that a tiny training with each objective logs."""
    pairs = with_reference(bare_pairs(languages=LANGUAGES), make_model())
    objectives = (DPO(), IPO(), KTO(), NLL())
    recorded = {type(o).__name__: fit(make_model(), pairs, o, micro=2, batch=5) for o in objectives}
    return {name: set(recorder.metrics[0]) for name, recorder in recorded.items()}


def test_the_list_is_what_trainings_log(trained):
    assert set.union(*trained.values()) == set(names(LANGUAGES))


def test_an_objective_logs_what_it_has(trained):
    everywhere = set(names(LANGUAGES)) - {Metric.KL}
    assert trained["DPO"] == trained["IPO"] == everywhere
    assert trained["KTO"] == everywhere | {Metric.KL}
    own = {Metric.NLL, Metric.LOGPS_CHOSEN}
    assert trained["NLL"] == {Metric.LOSS, Metric.LR} | own | {name.of(code) for name in own for code in LANGUAGES}


def test_the_log_ratio_of_chosen_is_its_reward_without_beta(make_model, bare_pairs, with_reference, fit):
    pairs = with_reference(bare_pairs(languages=LANGUAGES), make_model(seed=1))
    metrics = fit(make_model(seed=2), pairs, DPO(beta=0.25), micro=2, batch=5).metrics[0]
    for of in (str, *(lambda metric, code=code: metric.of(code) for code in LANGUAGES)):
        assert metrics[of(Metric.REWARDS_CHOSEN)] == pytest.approx(0.25 * metrics[of(Metric.LOGPS_CHOSEN_RATIO)])
    assert abs(metrics[Metric.LOGPS_CHOSEN_RATIO]) > 0.1


def test_every_name_says_what_it_is():
    assert Metric.REWARDS_MARGINS == "rewards/margins"
    assert f"{Metric.REWARDS_MARGINS}" == "rewards/margins"
    assert Metric.NLL.of("sw") == "sw/nll"
    assert all(metric.about for metric in Metric)
    assert len(names(LANGUAGES)) == len(set(names(LANGUAGES)))


def test_all_that_a_tracker_may_log_is_named_once():
    everything = logged(LANGUAGES, ["crosslingual"])
    assert len(everything) == len(set(everything))
    assert set(everything) > {*names(LANGUAGES), *round_names(LANGUAGES)}
    later = {"pairs/alpha_len", "sw/pairs/count", "eval/win_rate", "sw/eval/lc_win_rate", "accuracy/crosslingual"}
    assert set(everything) > later | {"sw/accuracy/crosslingual"}
    assert not set(everything) & {ROUND, STEP, GLOBAL_STEP, MODEL}
