"""Process and outcome: a step's part of a reward is paid where the step ends.

Shapes: N policy tokens of a tree, K branches.
"""

from __future__ import annotations

import numpy as np
import pytest

from plaudit.config import make_config
from plaudit.learning.advantage_rows import Shaping, with_advantages
from plaudit.learning.experience import Group, _with_rewards
from plaudit.objectives import ALGORITHMS
from plaudit.records import Prompt, Rollout, Score, Scored
from plaudit.scoring import rollout_trees
from plaudit.stages.rl_combine import CombineOptions
from plaudit.stages.rl_composition import Composition
from plaudit.stages.rl_rewards import SourceOptions

PROMPT = Prompt(id="p", conversation="p", content="2 + 2 + 2?")


def rollout(written: list[bool]) -> Rollout:
    return Rollout(
        prompt=PROMPT,
        prompt_ids=np.array([1, 2]),
        ids=np.arange(3, 3 + len(written)),
        logprobs=np.where(written, -1.0, np.nan).astype(np.float32),
        text="4 then 6",
        finish_reason="stop",
        policy_version=0,
        index=0,
        written=np.array(written),
    )


def rewards_to_go(scored: list[Scored]) -> list[list[float]]:
    """Advantages by response with no critic's opinion, no discount and no KL: what is to come."""
    group = Group(members=tuple(scored))
    tree = _with_rewards(rollout_trees([one.rollout for one in scored])[0], group)
    tokens = int(tree.tokens_per_branch_K.sum())
    tree = tree.with_token_labels(kl=np.zeros(tokens, np.float32))
    tree = tree.with_branch_labels(kl=np.zeros(len(scored)))
    shaping = Shaping(kl_coefficient=0.0, lam=1.0, whiten_advantages=False)
    (found,) = with_advantages([tree], [np.zeros(tokens, np.float32)], ALGORITHMS["ppo"], shaping)
    parts = np.split(found.token["advantage"], np.cumsum(tree.tokens_per_branch_K)[:-1])
    return [part.tolist() for part in parts]


def test_steps_are_paid_where_they_end_and_the_rest_at_the_end():
    first = Scored(rollout=rollout([True] * 5), score=Score(value=3.0, steps=((1, 0.5), (3, 0.25))))
    # A tool's two tokens stand between; places are those of the policy's own tokens.
    second = Scored(
        rollout=rollout([True, False, False, True, True]), score=Score(value=1.0, steps=((1, 2.0),))
    )
    plain = Scored(rollout=rollout([True] * 2), score=Score(value=7.0))
    found = rewards_to_go([first, second, plain])
    assert found[0] == pytest.approx([3.0, 3.0, 2.5, 2.5, 2.25])
    assert found[1] == pytest.approx([1.0, 1.0, -1.0])
    assert found[2] == pytest.approx([7.0, 7.0])


def test_a_reward_without_steps_is_paid_at_the_end():
    assert rewards_to_go([Scored(rollout=rollout([True] * 3), score=Score(value=2.0))]) == [
        [2.0, 2.0, 2.0]
    ]


def composed(**process) -> Composition:
    said = {
        "process": {"reward_model": "prm", "at_steps": True, **process},
        "outcome": {"rule": "length", "weight": 2.0},
    }
    sources = {name: make_config(SourceOptions, options, name) for name, options in said.items()}
    return Composition.resume(sources, CombineOptions(), {}, {})


def test_a_process_is_worth_the_mean_of_its_steps():
    parts = {
        "process": Score(value=0.1, steps=((2, 0.9), (5, 0.3), (9, 0.6))),
        "outcome": Score(value=4.0),
    }
    composition = composed(weight=3.0)
    rewards, _ = composition.rewards([rollout([True])], [parts])
    steps = composition.steps(parts)
    assert steps == ((2, pytest.approx(0.9)), (5, pytest.approx(0.3)), (9, pytest.approx(0.6)))
    assert rewards == [pytest.approx(2.0 * 4.0 + 3.0 * 0.6)]
    assert rewards[0] - sum(reward for _, reward in steps) == pytest.approx(2.0 * 4.0)


def test_what_judges_no_steps_cannot_reward_them():
    parts = {"process": Score(value=0.1), "outcome": Score(value=4.0)}
    with pytest.raises(
        ValueError, match=r"rewards\.process: at_steps needs a process reward model"
    ):
        composed().rewards([rollout([True])], [parts])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"reward_model": None, "rule": "length"}, "only a process reward_model"),
        ({"span": "answer"}, "only a process reward_model"),
        ({"normalisation": "running"}, "steps are taken as scored"),
        ({"clip": 1.0}, "steps are taken as scored"),
    ],
)
def test_steps_that_could_not_be_placed_are_refused(options: dict, said: str):
    with pytest.raises(ValueError, match=said):
        composed(**options)
