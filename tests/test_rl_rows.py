"""Rows in the rl stage itself: what a step gathers, and that a run cut off goes on alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from plaudit.artifacts import Artifact, read_artifact
from plaudit.config import make_config
from plaudit.formats import load_prompts
from plaudit.learning import read_metrics
from plaudit.models import load_language_model
from plaudit.objectives import ALGORITHMS
from plaudit.records import FinishReason, Invalid, Prompt, Rollout, Score
from plaudit.sampling import LocalSampler, SamplingParams
from plaudit.scoring import FunctionScorer, RewardSources
from plaudit.stages import rl
from plaudit.stages.rl_gathering import Sources, gather
from plaudit.stages.rl_options import RLConfig
from plaudit.stages.rl_shaping import Controllers
from plaudit.stages.setup import open_text
from tests.learning_trees import learner_for, separate_roles
from tests.scored import values
from tests.small import DIALOGUES, count_of_e, polite_pairs, run_stage, small_checkpoint, write_rows


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("rows")
    small_checkpoint(place / "base")
    write_rows(place / "pairs.jsonl", polite_pairs())
    return place


def given(place: Path, **options: Any) -> dict[str, Any]:
    return {
        "model": str(place / "base"), "dataset": str(place / "pairs.jsonl"),
        "reward_function": "tests.small:count_of_e", "max_steps": 2, "batch_size": 3,
        "num_generations": 3, "max_completion_length": 6, "learning_rate": 1e-2, **options,
    }  # fmt: skip


def critic_for(name: str, place: Path) -> dict[str, Any]:
    if not ALGORITHMS[name].has_critic:
        return {}
    return {"critic": {"model": str(place / "base"), "warmup_steps": 1}}


@pytest.mark.parametrize("name", sorted(set(ALGORITHMS) - {"ppo", "rloo", "grpo", "dr_grpo"}))
def test_every_row_runs_and_moves_the_policy(name: str, place: Path, tmp_path: Path):
    options = given(place, algorithm=name, **critic_for(name, place))
    artifact = run_stage("rl", tmp_path / "rl", **options)
    before = load_language_model(options["model"], precision="float32").state_dict()
    after = load_language_model(str(artifact.path), precision="float32").state_dict()
    moved = [bool((after[key] != before[key]).any()) for key in before]
    assert all(bool(torch.isfinite(tensor).all()) for tensor in after.values())
    assert np.mean(moved) > 0.5
    assert len(read_metrics(artifact.path)) == 2


def weighs_latte(prompts: list, completions: list, **columns: list) -> list[float | None]:
    """A reward that differs between the answers to one kind of prompt alone."""
    rewards = count_of_e(prompts, completions)
    asked = [prompt[0]["content"] for prompt in prompts]
    return [r if "latte" in text else 0.5 for r, text in zip(rewards, asked, strict=True)]


def gathered(config: RLConfig, rows: list[int], reward: str):
    """A step of the rl stage up to its groups, on the policy as it is."""
    found, _, sources, prompts = stepped(config, rows, reward_function=reward)
    assert isinstance(sources.sampler, LocalSampler)
    return found, sources.sampler, sources.scorer, prompts


def stepped(config: RLConfig, rows: list[int], **rewards: str):
    """And the controllers after it, of rewards that are functions of this file."""
    tokenizer, renderer = open_text(config, longest_tokens=200)
    assert tokenizer.pad_token_id is not None
    sampler = LocalSampler(load_language_model(config.model, precision="float32"), renderer)
    reference = LocalSampler(load_language_model(config.model, precision="float32"), renderer)
    functions = {n: FunctionScorer(f"tests.test_rl_rows:{f}") for n, f in rewards.items()}
    scorer = RewardSources(scorers=functions)
    sources = Sources(sampler=sampler, scorer=scorer, reference=reference)
    prompts = load_prompts(config.dataset)
    control = Controllers.resume(config, {}, {})
    found, control = gather(config, prompts, np.array(rows), 0, sources, control)
    return found, control, sources, prompts


def test_dynamic_sampling_asks_on_until_the_batch_teaches(place: Path):
    options = given(place, algorithm="dapo", num_generations=4, max_sampling_rounds=40)
    config = make_config(RLConfig, options | {"overlong_buffer_tokens": 0}, "rl")
    found, *_ = gathered(config, [1, 2, 3], "weighs_latte")
    kept = found.kept(dynamic=True)
    assert len(kept) == 3 and 1 < found.rounds < 40
    assert all(np.ptp(group.rewards_K) > 0 for group in kept)
    asked = [rollout.prompt.id for rollout in found.rollouts[::4]]
    assert len(set(asked)) == len(asked), "a prompt was asked twice in one step"
    assert found.metrics() == {"sampling_rounds": found.rounds}


def test_dynamic_sampling_stops_at_its_bound(place: Path):
    options = given(place, algorithm="dapo", max_sampling_rounds=2, overlong_buffer_tokens=0)
    found, *_ = gathered(make_config(RLConfig, options, "rl"), [1, 2], "always_half")
    assert found.rounds == 2 and len(found.groups) == 4
    assert found.kept(dynamic=True) == found.groups, "with nothing useful, all are kept"


def test_a_multiplier_moves_once_a_step_however_often_it_asks(place: Path):
    """By the mean cost of the step's own prompts, before any of the step's rewards."""
    rewards = {"latte": "weighs_latte", "early": "costs_early"}
    options = given(place, algorithm="dapo", max_sampling_rounds=40, overlong_buffer_tokens=0)
    options |= {"reward_function": None, "num_generations": 4}
    options["rewards"] = {n: {"function": f"tests.test_rl_rows:{f}"} for n, f in rewards.items()}
    options["combine"] = {"method": "constrained", "limits": {"early": 3.0}}
    found, control, *_ = stepped(make_config(RLConfig, options, "rl"), [1, 2, 3], **rewards)
    assert found.rounds > 1
    multiplier = control.composition.multipliers["early"]
    assert (multiplier.steps, multiplier.cost) == (1, 4.0)
    assert multiplier.log == pytest.approx(0.1 * (4.0 - 3.0))
    lam = multiplier.value
    for score in (member.score for group in found.groups for member in group.members):
        expected = (score.parts["latte"] - lam * score.parts["early"]) / (1 + lam)
        assert score.value == pytest.approx(expected)


def costs_early(prompts: list, completions: list, **columns: list) -> list[float]:
    """A cost of the prompt alone, higher for the first few."""
    numbers = [int(prompt[0]["content"].split()[-1]) for prompt in prompts]
    return [4.0 if number <= 3 else 1.0 for number in numbers]


def test_whatever_does_not_end_by_itself_pays_for_it(place: Path):
    config = make_config(RLConfig, given(place, missing_eos_penalty=0.5), "rl")
    prompt = Prompt(id="p", conversation="p", content="a")
    rollouts = [
        Rollout(
            prompt=prompt, prompt_ids=np.array([1]), ids=np.array([2]), logprobs=np.zeros(1),
            text="", finish_reason=reason, policy_version=0, index=k,
        )
        for k, reason in enumerate(get_args(FinishReason))
    ]  # fmt: skip
    said = [{"reward_function": Score(value=1.0)}] * len(rollouts)
    scores, _ = Controllers.resume(config, {}, {}).shape(rollouts, said, begins_step=True)
    found = {r.finish_reason: s for r, s in zip(rollouts, scores, strict=True)}
    assert {reason: values([score]) for reason, score in found.items()} == {
        "stop": [1.0],
        "length": [0.5],
        "turns": [0.5],
    }


def always_half(prompts: list, completions: list, **columns: list) -> list[float | None]:
    return [0.5] * len(prompts)


def test_an_overlong_answer_costs_up_to_1(place: Path):
    options = given(place, algorithm="grpo", overlong_buffer_tokens=4)
    found, *_ = gathered(make_config(RLConfig, options, "rl"), [0, 1, 2], "always_half")
    members = [member for group in found.groups for member in group.members]
    for member in members:
        expected = 0.5 + max(-1.0, min(0.0, (6 - 4 - len(member.rollout.ids)) / 4))
        assert member.score.value == pytest.approx(expected)
        assert member.score.parts["raw"] == 0.5
    assert min(member.score.value for member in members) == -0.5


def test_remax_knows_the_reward_of_the_greedy_answer(place: Path):
    config = make_config(RLConfig, given(place, algorithm="remax"), "rl")
    found, sampler, scorer, prompts = gathered(config, [0, 5], "count_of_e")
    assert len(found.rollouts) == 6, "greedy answers are no part of what is learned from"
    params = SamplingParams(max_tokens=6, temperature=0.0)
    greedy = sampler.sample([prompts[0], prompts[5]], 1, params)
    for group, parts in zip(found.groups, scorer.score(greedy), strict=True):
        assert not isinstance(parts, Invalid)
        assert group.baseline == parts["reward_function"].value


def test_a_star_po_asks_the_reference_the_same_each_time(place: Path):
    config = make_config(RLConfig, given(place, algorithm="a_star_po"), "rl")
    first, *_ = gathered(config, [0, 5], "count_of_e")
    again, *_ = gathered(config, [5], "count_of_e")
    assert first.groups[1].baseline == again.groups[0].baseline
    assert first.groups[0].baseline is not None


EVERYTHING = {
    "algorithm": "grpo", "num_ppo_epochs": 2, "beta": 0.1, "kl_estimator": "full",
    "adaptive_kl": {"target": 0.05, "horizon": 50}, "ref_model_sync_steps": 3,
    "ref_model_mixup_alpha": 0.6, "adaptive_entropy": {"target": 7.0, "step_size": 0.01},
    "correction": {"kind": "mask"}, "off_policy_mask_threshold": 0.001,
    "ptx": {"dataset": DIALOGUES, "portion": [0.0, 0.004], "coefficient": 1.0, "batch_size": 2},
    "positive_nll_coefficient": 0.1, "max_completion_length": 12, "reward_normalisation": "running",
}  # fmt: skip
CASES = {
    "everything": EVERYTHING,
    "dapo": {"algorithm": "dapo", "reward_function": "tests.test_rl_rows:weighs_latte"},
    "remax": {"algorithm": "remax"},
    "a_star_po": {"algorithm": "a_star_po"},
}


@pytest.mark.parametrize("case", CASES)
def test_a_run_that_was_cut_off_ends_as_one_that_was_not(
    case: str, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    options = given(place, max_steps=6, save_steps=2) | CASES[case]
    straight = run_stage("rl", tmp_path / "straight", **options)
    with monkeypatch.context() as patch:
        patch.setattr(rl, "update", cut_off_at(step=5))
        with pytest.raises(KeyboardInterrupt):
            run_stage("rl", tmp_path / "cut", **options)
    assert read_artifact(tmp_path / "cut") is None
    cut = run_stage("rl", tmp_path / "cut", **options)
    assert cut.record["files"] == straight.record["files"]
    assert numbers(cut) == numbers(straight)


def cut_off_at(*, step: int):
    real = rl.update

    def cut(*args: Any) -> dict[str, float]:
        if args[-1] == step:
            raise KeyboardInterrupt
        return real(*args)

    return cut


def numbers(artifact: Artifact) -> list[dict[str, float]]:
    rows = read_metrics(artifact.path)
    assert len(rows) == 6
    return [{k: v for k, v in row.items() if "second" not in k} for row in rows]


def test_everything_did_something(place: Path, tmp_path: Path):
    options = given(place, max_steps=4, save_steps=2) | EVERYTHING
    rows = read_metrics(run_stage("rl", tmp_path / "rl", **options).path)
    last = rows[-1]
    assert last["kl_coefficient"] != 0.1 and last["entropy_coefficient"] > 0
    assert rows[-1]["ptx_loss"] < rows[0]["ptx_loss"]
    assert 0.9 < last["importance"] < 1.1 and last["importance_cut"] == 0.0
    assert 0 < last["masked"] < 1


def test_a_reference_renewed_every_step_is_the_policy_that_samples(place: Path, tmp_path: Path):
    options = given(place, algorithm="dr_grpo", max_steps=3, ref_model_sync_steps=1)
    for row in read_metrics(run_stage("rl", tmp_path / "rl", **options).path):
        assert row["kl"] == pytest.approx(0.0, abs=1e-4)


def test_without_the_cut_answers_there_may_be_nothing_to_learn(place: Path, tmp_path: Path):
    """A new model stops at no token it knows of, so that every answer is cut."""
    options = given(place, algorithm="dr_grpo", beta=0, mask_truncated_completions=True)
    artifact = run_stage("rl", tmp_path / "rl", **options)
    rows = read_metrics(artifact.path)
    assert all(row["stopped"] == 0 and row["grad_norm/policy"] == 0 for row in rows)


@pytest.mark.parametrize("share", [1.0, 0.6])
def test_a_refreshed_reference_is_a_mixture(share: float):
    learner = learner_for(separate_roles())
    policy, reference = (learner.roles.parameters(role) for role in ("policy", "reference"))
    with torch.no_grad():
        for parameter in policy.values():
            parameter.add_(1.0)
    before = {name: tensor.clone() for name, tensor in reference.items()}
    learner.refresh("reference", share=share)
    for name, tensor in reference.items():
        expected = share * policy[name] + (1 - share) * before[name]
        torch.testing.assert_close(tensor.detach(), expected.detach())
    assert learner.moved_roles == {"reference"}
