"""What the processes of a run tell each other, in three real processes over gloo, and in one."""

from __future__ import annotations

import multiprocessing
import sys

import pytest
import torch
import torch.distributed as dist

from icr import distributed


def talk(rank: int, folder: str, answers) -> None:
    """All that a rank can ask, among three."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=3)
    called = []
    items = list(range(7))
    mine = list(distributed.shard(items))
    result = {
        "who": (distributed.rank(), distributed.size()),
        "mine": mine,
        "prompts": list(distributed.shard(items, together=3)),
        "gathered": distributed.gather_to_rank0([(item, f"response {k} of {item}") for item in mine for k in range(2)]),
        "everyones": distributed.all_gather({"en": rank}),
        "agreed": distributed.on_rank0(lambda: called.append(rank) or f"found by {rank}"),
        "called": called,
        "total": distributed.all_reduce_sum(torch.tensor([1.0, rank], dtype=torch.float64)).tolist(),
        "nothing": (distributed.gather_to_rank0(mine[:0]), list(distributed.shard([]))),
    }
    dist.destroy_process_group()
    answers.put((rank, result))


@pytest.fixture(scope="module")
def three(tmp_path_factory) -> list[dict]:
    """What each of three ranks was told."""
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    answers, folder = context.Queue(), str(tmp_path_factory.mktemp("ranks"))
    ranks = [context.Process(target=talk, args=(rank, folder, answers)) for rank in range(3)]
    for process in ranks:
        process.start()
    told = dict(answers.get(timeout=60) for _ in ranks)
    for process in ranks:
        process.join(timeout=60)
    return [told[rank] for rank in range(3)]


def test_shares_put_together_are_the_whole(three):
    assert [told["who"] for told in three] == [(0, 3), (1, 3), (2, 3)]
    assert [item for told in three for item in told["mine"]] == list(range(7))
    assert [len(told["mine"]) for told in three] == [2, 2, 3]
    assert [told["prompts"] for told in three] == [[0, 1, 2], [3, 4, 5], [6]]


def test_rows_come_together_in_order_on_the_first_rank(three):
    assert three[0]["gathered"] == [(item, f"response {k} of {item}") for item in range(7) for k in range(2)]
    assert [told["gathered"] for told in three[1:]] == [[], []]
    assert all(told["nothing"] == ([], []) for told in three)


def test_only_the_first_rank_looks_and_all_know(three):
    assert [told["agreed"] for told in three] == ["found by 0"] * 3
    assert [told["called"] for told in three] == [[0], [], []]


def test_every_rank_knows_what_each_has(three):
    assert [told["everyones"] for told in three] == [[{"en": 0}, {"en": 1}, {"en": 2}]] * 3
    assert [told["total"] for told in three] == [[3.0, 3.0]] * 3


def test_one_process_is_a_world_of_its_own():
    tensor = torch.ones(2)
    assert (distributed.rank(), distributed.size()) == (0, 1)
    assert distributed.shard([1, 2, 3]) == distributed.gather_to_rank0([1, 2, 3]) == [1, 2, 3]
    assert distributed.all_gather("a") == ["a"]
    assert distributed.on_rank0(lambda: 5) == 5
    assert distributed.all_reduce_sum(tensor) is tensor
