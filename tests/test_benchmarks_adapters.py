"""Four roles on one backbone: the variants of our side, and the table from given peaks."""

from __future__ import annotations

import pytest

from benchmarks import making, plaudit_rl, plaudit_side, workload
from benchmarks.adapters_memory import FOUR_MODELS, LORA_SFT, RUNS, Peak, Run, rows, section
from benchmarks.workload import Files, Work


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Files:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workload, "RUNS", tmp_path_factory.mktemp("runs"))
        patch.setattr(making, "ROWS", {"short": 16, "long": 4})
        return Files(making.make(Work(task="sft", model="toy")))


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("variant", ["adapters", "one-backbone"])
def test_ppo_runs_on_one_backbone(made: Files, variant: str, again: bool) -> None:
    """Policy and reference begin equal; both kinds of reward model give scores."""
    work = Work(task="ppo", model="toy", steps=2, examples=4, gradient_checkpointing=again)
    measured = plaudit_side.run(work, made, variant)
    assert measured.settings["lora_r"] == 16 and len(measured.losses) == 2
    assert measured.extra["first_kl"] == pytest.approx(0, abs=1e-4)
    assert len(set(measured.extra["first_rewards"])) == 4


def test_variants_are_of_the_tasks_that_have_them(made: Files) -> None:
    assert {run.variant for run in RUNS if run.task == "ppo"} == set(plaudit_rl.RL_VARIANTS)
    work = Work(task="dpo", model="toy", steps=2, examples=4)
    with pytest.raises(ValueError, match="none of that name for dpo"):
        plaudit_side.run(work, made, "adapters")


def test_shares_are_of_what_a_run_takes_beyond_its_process() -> None:
    adapters, one = Run("ppo", "adapters"), Run("ppo", "one-backbone")
    peaks = {
        LORA_SFT: Peak(500.0, 400.0),
        FOUR_MODELS: Peak(900.0, 400.0),
        adapters: Peak(550.0, 400.0),
        one: Peak(525.0, 400.0),
    }
    found = rows("30m", peaks)
    assert [line[2:] for line in found] == [
        ["500", "400", "100", "", ""],
        ["900", "400", "500", "", ""],
        ["550", "400", "150", "1.50", "0.30"],
        ["525", "400", "125", "1.25", "0.25"],
    ]
    assert "| 30m | SFT with LoRA | 500 | 400 | 100 |" in section(found, "float32", 1, 0)
