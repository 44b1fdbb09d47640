"""Scores: a reward model's are transformers' own, a function's are taken as they come.

Shapes: M responses.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification

from plaudit.models import SeparateRoles, save_model
from plaudit.records import Invalid, Message, Prompt, Rollout, Score, Text
from plaudit.scoring import FunctionScorer, RewardModelScorer, open_reward_model, rollout_trees
from tests.tiny import tiny_language_model, tiny_scalar_model


def prompt(name: str, content: Text = "?", **columns) -> Prompt:
    return Prompt(id=name, conversation=name, content=content, columns=columns)


def rollout(asked: Prompt, text: str = "!", ids=(5, 6), prompt_ids=(3, 4)) -> Rollout:
    return Rollout(
        prompt=asked,
        prompt_ids=np.array(prompt_ids, np.int32),
        ids=np.array(ids, np.int32),
        logprobs=np.linspace(-1, -2, len(ids), dtype=np.float32),
        text=text,
        finish_reason="stop",
        policy_version=0,
        index=0,
    )


def random_rollouts() -> list[Rollout]:
    rng = np.random.default_rng(0)
    found = []
    for p, responses in enumerate((3, 1, 4)):
        asked, ids = prompt(f"p{p}"), rng.integers(3, 60, 3 + 2 * p)
        for _ in range(responses):
            response = rng.integers(3, 60, rng.integers(1, 9))
            found.append(rollout(asked, ids=response, prompt_ids=ids))
    return found


@pytest.fixture(scope="module")
def reward_model(coffee_tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("reward")
    save_model(tiny_scalar_model(seed=4), coffee_tokenizer, path)
    (path / "reward.json").write_text('{"mean": 0.5, "std": 2.0}')
    return path


def values(scores: list[Score | Invalid]) -> list[float]:
    return [score.value if isinstance(score, Score) else math.nan for score in scores]


@torch.no_grad()
def plain_scores(path: Path, rollouts: list[Rollout]) -> list[float]:
    """transformers' own score of every prompt with its response, one sequence at a time."""
    model = AutoModelForSequenceClassification.from_pretrained(path)
    rows = [np.concatenate([r.prompt_ids, r.ids]) for r in rollouts]
    return [float(model(input_ids=torch.as_tensor(row)[None].long()).logits) for row in rows]


@pytest.mark.parametrize("token_budget", [1, 20, 8192])
def test_a_reward_models_scores_are_transformers_own(
    token_budget: int, reward_model: Path, coffee_tokenizer
):
    rollouts = random_rollouts()
    expected = plain_scores(reward_model, rollouts)
    options = {"policy_tokenizer": coffee_tokenizer, "precision": "float32"}
    raw, standard = (
        open_reward_model(
            str(reward_model), standardised=said, token_budget=token_budget, **options
        ).score(rollouts)
        for said in (False, True)
    )
    assert values(raw) == pytest.approx(expected, abs=1e-5)
    assert values(standard) == pytest.approx([(x - 0.5) / 2.0 for x in expected], abs=1e-5)
    parts = [dict(score.parts) for score in standard if isinstance(score, Score)]
    assert [part["reward_model"] for part in parts] == pytest.approx(expected, abs=1e-5)
    assert np.ptp(expected) > 0.1


def test_nothing_to_score_has_no_scores(reward_model: Path, coffee_tokenizer):
    scorer = open_reward_model(
        str(reward_model), policy_tokenizer=coffee_tokenizer, precision="float32",
        standardised=False,
    )  # fmt: skip
    assert scorer.score([]) == []


def test_a_score_that_is_not_finite_is_invalid():
    model = tiny_scalar_model()
    model.score.weight.data.fill_(math.inf)
    scorer = RewardModelScorer(SeparateRoles({"reward": model}, trained=[]))
    (found,) = scorer.score([rollout(prompt("a"))])
    assert found == Invalid(reason="the reward model's score is not finite")


def test_models_that_cannot_score_the_policys_tokens_are_refused(coffee_tokenizer, tmp_path: Path):
    def opened(path: Path, standardised: bool = True):
        return open_reward_model(
            str(path),
            policy_tokenizer=coffee_tokenizer,
            precision="float32",
            standardised=standardised,
        )

    save_model(tiny_language_model(), coffee_tokenizer, tmp_path / "language")
    with pytest.raises(ValueError, match="a language model, not a reward model"):
        opened(tmp_path / "language")
    save_model(tiny_scalar_model(), coffee_tokenizer, tmp_path / "bare")
    with pytest.raises(ValueError, match=r"bare/reward\.json: missing"):
        opened(tmp_path / "bare")
    assert opened(tmp_path / "bare", standardised=False)
    for content in ('{"mean": 0.5', '{"mean": 0.5}', '{"mean": null, "std": 1}', "[]"):
        (tmp_path / "bare" / "reward.json").write_text(content)
        with pytest.raises(ValueError, match=r"reward\.json: expected mean and std"):
            opened(tmp_path / "bare")


def test_neighbouring_rollouts_of_a_prompt_are_one_tree():
    rollouts = random_rollouts()
    trees = rollout_trees(rollouts)
    assert [(tree.id, len(tree.branches)) for tree in trees] == [("p0", 3), ("p1", 1), ("p2", 4)]
    old = np.concatenate([tree.token["old"] for tree in trees])
    np.testing.assert_array_equal(old, np.concatenate([r.logprobs for r in rollouts]))
    assert all(branch.mask.all() for tree in trees for branch in tree.branches)


def recorded(calls: list[dict], rewards):
    def judge(**said):
        calls.append(said)
        return rewards

    return judge


def test_a_function_is_called_as_trl_calls_it():
    calls: list[dict] = []
    rollouts = [
        rollout(prompt("a", "2 + 2?", answer="4", level=1), "4"),
        rollout(prompt("b", "3 + 3?", answer="6"), "7"),
    ]
    assert values(FunctionScorer(recorded(calls, [1, 0.5])).score(rollouts)) == [1.0, 0.5]
    assert calls == [
        {
            "prompts": ["2 + 2?", "3 + 3?"],
            "completions": ["4", "7"],
            "answer": ["4", "6"],
            "level": [1, None],
        }
    ]


def test_conversations_come_as_messages():
    calls: list[dict] = []
    asked = (Message(role="system", content="Be brief."), Message(role="user", content="Hi"))
    FunctionScorer(recorded(calls, [1.0])).score([rollout(prompt("a", asked), "Hello")])
    assert calls[0]["prompts"] == [
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    ]
    assert calls[0]["completions"] == [[{"role": "assistant", "content": "Hello"}]]


@pytest.mark.parametrize(
    ("reward", "reason"), [(None, "returned None"), (math.nan, "returned nan"), (-math.inf, "-inf")]
)
def test_no_number_is_invalid_and_never_zero(reward, reason: str):
    def judge(**said):
        return [reward, 2.0]

    invalid, score = FunctionScorer(judge).score([rollout(prompt("a")), rollout(prompt("b"))])
    assert isinstance(invalid, Invalid) and reason in invalid.reason and "judge" in invalid.reason
    assert score == Score(value=2.0, parts={"judge": 2.0})


@pytest.mark.parametrize(
    "rewards",
    [(1, 0.5), np.array([1, 0.5]), [np.float32(1), np.float64(0.5)], torch.tensor([1, 0.5])],
)
def test_lists_of_every_kind_are_taken(rewards):
    found = FunctionScorer(recorded([], rewards)).score([rollout(prompt("a"))] * 2)
    assert values(found) == [1.0, 0.5]


@pytest.mark.parametrize(
    ("rewards", "message"),
    [
        ([1.0], "returned 1 rewards for 2 completions"),
        ([1.0, 2.0, 3.0], "returned 3 rewards for 2 completions"),
        ([1.0, "2"], "returned '2'; expected a float or None"),
        ([1.0, [2.0]], r"returned \[2.0\]; expected a float or None"),
        (None, "returned None; expected a list"),
        (1.0, r"returned 1\.0; expected a list"),
        ("12", "returned '12'; expected a list"),
    ],
)
def test_what_is_no_list_of_rewards_is_an_error(rewards, message: str):
    with pytest.raises(ValueError, match=f"judge {message}"):
        FunctionScorer(recorded([], rewards)).score([rollout(prompt("a"))] * 2)


@pytest.mark.parametrize("name", ["prompts", "completions"])
def test_a_column_named_like_an_argument_is_an_error(name: str):
    with pytest.raises(ValueError, match=f"has a column '{name}', which judge is passed already"):
        FunctionScorer(recorded([], [1.0])).score([rollout(prompt("a", **{name: 1}))])


def length_of(prompts, completions, **columns) -> list[float]:
    return [float(len(completion)) for completion in completions]


def test_a_function_is_found_by_its_dotted_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    found = FunctionScorer("tests.test_scoring:length_of").score([rollout(prompt("a"), "four")])
    assert values(found) == [4.0]
    (tmp_path / "own_rewards.py").write_text("def one(prompts, **more):\n    return [1.0]\n")
    monkeypatch.syspath_prepend("/nowhere")  # restores sys.path at the end of the test
    monkeypatch.chdir(tmp_path)
    assert values(FunctionScorer("own_rewards:one").score([rollout(prompt("a"))])) == [1.0]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("tests.test_scoring.length_of", "expected package.module:function"),
        ("tests.no_such_module:f", "cannot be imported"),
        ("tests.test_scoring:no_such_function", "cannot be imported"),
        ("json:__name__", "is not a function"),
    ],
)
def test_a_function_that_cannot_be_imported_is_an_error(path: str, message: str):
    with pytest.raises(ValueError, match=message):
        FunctionScorer(path)
