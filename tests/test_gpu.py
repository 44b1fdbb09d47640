"""On a GPU: the same numbers as on a CPU, and every stage whole. Run with ``-m gpu``."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from plaudit.learning import Learner
from plaudit.models import SeparateRoles
from plaudit.sampling import LocalSampler
from plaudit.scoring import rollout_trees
from tests.learning_trees import OBJECTIVES, labelled_trees, optimiser_for
from tests.small import RATINGS, TOOLS, run_stage, small_checkpoint
from tests.test_sampling import PARAMS, DigitRenderer, prompts
from tests.tiny import BRANCHING, tiny_language_model, tiny_scalar_model

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here"),
    # The compiler advises (of TF32, of a GPU's size) and touches gradients that are not there.
    pytest.mark.filterwarnings("default::UserWarning:torch.*"),
    pytest.mark.filterwarnings("default:The .grad attribute:UserWarning"),
]


def learner(device: str) -> Learner:
    models = {
        "policy": tiny_language_model(seed=1).to(device),
        "reference": tiny_language_model(seed=1).to(device),
        "critic": tiny_scalar_model(seed=2).to(device),
        "reward": tiny_scalar_model(seed=3).to(device),
    }
    roles = SeparateRoles(models, trained=["policy", "critic", "reward"])
    return Learner(roles, optimiser_for(roles), token_budget=64)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_an_update_is_that_of_the_cpu(name: str):
    trees = labelled_trees()
    here, there = learner("cpu"), learner("cuda")
    before = here.update(trees, OBJECTIVES[name])
    after = there.update(trees, OBJECTIVES[name])
    assert after == pytest.approx(before, rel=1e-3, abs=1e-4)
    for role in here.roles.trained:
        for parameter, other in zip(
            here.roles.parameters(role).values(), there.roles.parameters(role).values(), strict=True
        ):
            torch.testing.assert_close(other.cpu(), parameter, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("family", BRANCHING)
def test_what_is_sampled_has_the_learners_logprobs(family: str):
    model = tiny_language_model(family).to("cuda")
    rollouts = LocalSampler(model, DigitRenderer(), slots=8).sample(prompts(), 3, PARAMS)  # pyright: ignore[reportArgumentType]
    roles = SeparateRoles({"policy": model}, trained=[])
    found = Learner(roles, None, token_budget=256).forward(
        rollout_trees(rollouts), ["policy.logprobs"]
    )
    learned = np.concatenate([f["policy.logprobs"] for f in found])
    sampled = np.concatenate([r.logprobs for r in rollouts])
    np.testing.assert_allclose(sampled, learned, atol=1e-3)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_whole_path_runs(tmp_path: Path, precision: str):
    base = str(small_checkpoint(tmp_path / "base", hidden_size=64))  # heads with kernels
    said = {"device": "cuda", "precision": precision}
    data = {"dataset": RATINGS, "portion": [0.0, 0.05], "max_length": 512}
    reward = run_stage("reward", tmp_path / "reward", model=base, **data, **said)
    judge = run_stage("reward", tmp_path / "judge", model=base, **data, seed=1, **said)
    dpo = run_stage("preference", tmp_path / "dpo", model=base, **data, **said)
    ppo = run_stage(
        "rl", tmp_path / "ppo", algorithm="ppo", model=base, reward_model=str(reward.path),
        dataset=RATINGS, portion=[0.0, 0.05], max_steps=3, batch_size=4, num_generations=2,
        max_completion_length=16, learning_rate=1e-4, **said,
    )  # fmt: skip
    found = run_stage(
        "evaluate", tmp_path / "evaluate", baseline=base, judge=str(judge.path),
        policies={"dpo": str(dpo.path), "ppo": str(ppo.path)}, dataset=RATINGS,
        portion=[0.9, 1.0], max_prompts=20, max_completion_length=16, tools=TOOLS, **said,
    )  # fmt: skip
    assert all(math.isfinite(b["kl_per_response"]) for b in found.metrics["behaviour"].values())
