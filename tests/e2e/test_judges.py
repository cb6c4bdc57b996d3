"""A run of two processes whose answers a model behind a server judges: rank 0 alone asks, a budget loses nothing."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import Program
from tests.judges.judge_server import judge_server


@pytest.mark.slow
def test_a_run_with_a_judge_behind_a_server(program: Program, pocket_pair, tmp_path):
    with judge_server() as server:
        arguments = [
            "langs=[en,sw]",
            f"model.path={pocket_pair[0]}",
            f"model.reference={pocket_pair[1]}",
            "data.prompts_per_language=4",
            "sampling.n=2",
            "sampling.max_new_tokens=8",
            "reward.keep_truncated=true",
            "iterations=1",
            "trainer.global_batch_size=4",
            "trainer.micro_batch_size=2",
            "trainer.devices=2",
            "~evaluation.reward_prompts",
            "evaluation.prompts.prompts_per_language=3",
            "judge=openai",
            "judge.endpoint.model=judge-1",
            f"judge.endpoint.base_url={server.url}",
            f"judge.endpoint.cache={tmp_path}/cache",
            "judge.endpoint.key_env=null",
        ]
        stopped = program(tmp_path / "run", [*arguments, "judge.endpoint.max_requests=5"], ranks=2)
        assert stopped.status != 0
        assert "judge.endpoint.max_requests is used up" in stopped.output
        assert "Traceback" not in stopped.output
        assert len(server.seen) == 5
        finished = program.ok(tmp_path / "run", arguments, ranks=2)
        assert set(server.answered.values()) == {1}
    for name in ("sft", "dpo_en", "M0"):
        rows = finished.table(f"evaluation/{name}")
        assert len(rows) == 6
        assert rows["preference"].notna().all()
