"""What a critic that begins from a reward model says before it has learned anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from plaudit.config import make_config
from plaudit.models import load_scalar_model
from plaudit.models.loading import model_path, scalar_head
from plaudit.scoring import read_reference
from plaudit.stages.rl_options import RLConfig
from plaudit.stages.rl_roles import open_roles
from tests.small import polite_pairs, run_stage, small_checkpoint, write_rows


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("critic")
    base = str(small_checkpoint(place / "base"))
    pairs = write_rows(place / "pairs.jsonl", polite_pairs(16))
    options = {"model": base, "dataset": pairs, "learning_rate": 1e-3, "batch_size": 8}
    run_stage("reward", place / "whole", **options)
    run_stage("reward", place / "adapter", lora_r=2, **options)
    return place


def head_of(place: Path, reward: str, **options: Any) -> torch.Tensor:
    """The weights and the bias of the critic that a run with the reward model begins with."""
    said = {
        "model": str(place / "base"), "dataset": str(place / "pairs.jsonl"), "algorithm": "ppo",
        "max_steps": 1, "lora_r": 2 if reward == "adapter" else 0,
    }  # fmt: skip
    roles = open_roles(make_config(RLConfig, said | options, "rl"))
    head = scalar_head(roles.model("critic")) if reward == "whole" else roles.head("critic")
    return flat(head)


def flat(head: torch.nn.Linear) -> torch.Tensor:
    bias = torch.zeros(1) if head.bias is None else head.bias.detach()
    return torch.cat([head.weight.detach().flatten(), bias])


def raw_head(place: Path, reward: str) -> torch.Tensor:
    model = load_scalar_model(str(place / reward), precision="float32", seed=0)
    return flat(scalar_head(model))


OTHER = {"function": "tests.small:count_of_e"}


@pytest.mark.parametrize("reward", ["whole", "adapter"])
@pytest.mark.parametrize(
    ("weight", "combine", "share"),
    [
        (1.0, {}, 1.0),
        (-0.5, {"method": "sum"}, -0.5),
        (0.5, {"method": "constrained", "limits": {"other": 1.0}, "multiplier": 3.0}, 0.5 / 4),
        (2.0, {"method": "constrained", "limits": {"model": 1.0}, "multiplier": 3.0}, -6.0 / 4),
        (0.5, {"method": "gdpo"}, 1.0),
    ],
)
def test_a_critic_says_what_its_source_adds_to_the_reward(
    place: Path, reward: str, weight: float, combine: dict, share: float
):
    model = str(place / reward)
    source = {"reward_model": model, "normalisation": "reference", "weight": weight}
    found = head_of(place, reward, rewards={"other": OTHER, "model": source}, combine=combine)
    (reference,) = read_reference(Path(model_path(model)), needed=True).heads.values()
    expected = raw_head(place, reward)
    expected[-1] -= reference.mean
    torch.testing.assert_close(found, share * expected / reference.std)


def test_a_critic_of_scores_as_they_are_is_the_reward_model(place: Path):
    plain = head_of(place, "whole", reward_model=str(place / "whole"))
    assert torch.equal(plain, raw_head(place, "whole"))
    weighed = {"model": {"reward_model": str(place / "whole"), "weight": 3.0}, "other": OTHER}
    torch.testing.assert_close(head_of(place, "whole", rewards=weighed), 3.0 * plain)


def test_a_critic_from_elsewhere_is_left_as_it_is(place: Path):
    source = {"reward_model": str(place / "adapter"), "weight": 3.0}
    options = {"rewards": {"model": source}, "critic": {"model": str(place / "whole")}}
    assert torch.equal(head_of(place, "whole", **options), raw_head(place, "whole"))


def test_a_critic_of_other_tokens_is_refused(place: Path):
    other = str(small_checkpoint(place / "other", vocab_size=420))
    with pytest.raises(ValueError, match="other has another tokenizer than the policy"):
        head_of(place, "whole", reward_model=str(place / "whole"), critic={"model": other})
