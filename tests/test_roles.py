"""Adapters: many roles on one frozen backbone, each of which answers for itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM

from plaudit.models import AdapterRoles, Roles, SeparateRoles, collate, stop_ids
from plaudit.models.loading import as_dtype
from plaudit.objectives import LanguageModelling
from tests.learning_trees import (
    OBJECTIVES,
    adapter_roles,
    labelled_trees,
    learner_for,
    separate_roles,
    weights_of,
)
from tests.tiny import tiny_language_model

LANGUAGE = ("policy.logprobs", "reference.logprobs")
ALL = (*LANGUAGE, "critic.values", "reward.scores")


def outputs(roles: Roles, names: tuple[str, ...] = ALL) -> dict[str, Tensor]:
    return roles.outputs(collate(labelled_trees(), layout=roles.layout), names, temperature=1.0)


def shaken(roles: AdapterRoles) -> AdapterRoles:
    """Every learned weight moved, so that no adapter is zero and no two are alike."""
    torch.manual_seed(5)
    with torch.no_grad():
        for role in roles.trained:
            for parameter in roles.parameters(role).values():
                parameter.add_(0.1 * torch.randn_like(parameter))
    return roles


def backbone(roles: AdapterRoles) -> dict[str, Tensor]:
    state = roles.model("policy").state_dict()
    return {name: t.clone() for name, t in state.items() if ".lora_" not in name}


def assert_same_tensors(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_at_first_policy_and_reference_are_the_backbone(precision):
    base = tiny_language_model(seed=1)
    as_dtype(base, precision)
    alone = SeparateRoles({"policy": base}, trained=[])
    expected = outputs(alone, ("policy.logprobs",))["policy.logprobs"]
    found = outputs(adapter_roles(precision), LANGUAGE)
    for name in LANGUAGE:
        assert torch.equal(found[name].detach(), expected)


def test_training_moves_the_policy_and_leaves_the_reference_as_it_was(
    coffee_tokenizer, tmp_path: Path
):
    roles = adapter_roles()
    before, weights = outputs(roles), backbone(roles)
    learner = learner_for(roles, learning_rate=1e-2)
    for step in range(3):
        learner.update(labelled_trees(seed=step), OBJECTIVES["policy"])
    for role in ("policy", "critic", "reward"):
        roles.save(role, coffee_tokenizer, tmp_path / role)
    after = outputs(roles)
    assert torch.equal(after["reference.logprobs"], before["reference.logprobs"])
    assert_same_tensors(backbone(roles), weights)
    assert (after["policy.logprobs"] - before["policy.logprobs"]).abs().max() > 0.1
    assert (after["critic.values"] - before["critic.values"]).abs().max() > 0.1
    assert torch.equal(after["reward.scores"], before["reward.scores"])


@pytest.mark.parametrize("role", ["policy", "critic", "reward"])
def test_training_a_role_changes_no_other(role: str):
    names = {"policy": "policy.logprobs", "critic": "critic.values", "reward": "reward.scores"}

    class Only:
        needs = (names[role],)

        def __call__(self, outputs, batch):
            return outputs[names[role]].square().sum(), {}

    roles = shaken(adapter_roles())
    before = weights_of(roles)
    learner_for(roles).update(labelled_trees(), Only())
    for name, weight in weights_of(roles).items():
        moved = not torch.equal(weight, before[name])
        assert moved == name.startswith(role), name


def test_all_roles_of_one_call_get_gradients_and_the_backbone_none():
    roles = shaken(adapter_roles())
    found = outputs(roles)
    assert not found["reference.logprobs"].requires_grad
    outputs(roles, ("reference.logprobs",))  # switching roles before the backward pass is harmless
    sum(found[name].sum() for name in ALL if found[name].requires_grad).backward()
    for role in roles.trained:
        for name, parameter in roles.parameters(role).items():
            assert parameter.grad is not None and parameter.grad.abs().max() > 0, f"{role} {name}"
    for name, parameter in roles.model("policy").named_parameters():
        if ".lora_" not in name:
            assert not parameter.requires_grad and parameter.grad is None


@pytest.mark.parametrize("kind", [adapter_roles, separate_roles])
def test_only_what_is_trained_has_gradients_and_only_where_they_are_wanted(kind):
    roles = kind()
    found = outputs(roles)
    assert {name for name in ALL if found[name].requires_grad} == set(ALL) - {LANGUAGE[1]}
    with torch.no_grad():
        assert not any(value.requires_grad for value in outputs(roles).values())


def test_roles_in_one_call_answer_as_they_do_alone():
    roles = shaken(adapter_roles())
    together = outputs(roles)
    for name in ALL:
        assert torch.equal(outputs(roles, (name,))[name], together[name])
    reordered = outputs(roles, ALL[::-1])
    assert_same_tensors(reordered, together)


def test_critic_and_reward_have_a_head_each():
    roles = adapter_roles()
    critic, reward = (roles.parameters(role)["score.weight"] for role in ("critic", "reward"))
    assert critic.data_ptr() != reward.data_ptr() and not torch.equal(critic, reward)
    assert "score.weight" not in roles.parameters("policy")
    again = adapter_roles().parameters("critic")["score.weight"]
    assert torch.equal(again, critic)
    assert critic.dtype == torch.float32


def test_between_calls_the_policys_adapter_is_the_active_one():
    roles = shaken(adapter_roles())
    ids = torch.arange(3, 30)[None]
    model = roles.model("policy")
    expected = model(input_ids=ids).logits
    outputs(roles, ("critic.values", "reference.logprobs"))
    assert torch.equal(model(input_ids=ids).logits, expected)
    with pytest.raises(RuntimeError), roles._as("critic"):
        raise RuntimeError
    assert torch.equal(model(input_ids=ids).logits, expected)
    with pytest.raises(AssertionError, match="no such role"):
        outputs(roles, ("judge.logprobs",))


@pytest.mark.parametrize(("source", "target"), [("reward", "reward"), ("reward", "critic")])
def test_an_adapter_is_taken_up_by_another_run(source: str, target: str, tmp_path: Path):
    first, second = shaken(adapter_roles()), adapter_roles()
    first.save_adapter(source, tmp_path)
    second.load_adapter(target, tmp_path / source)
    names = {"reward": "reward.scores", "critic": "critic.values"}
    mine, theirs = first.parameters(source), second.parameters(target)
    assert [t.tolist() for t in mine.values()] == [t.tolist() for t in theirs.values()]
    if source == target:
        assert torch.equal(outputs(second)[names[target]], outputs(first)[names[source]])
    untouched = ({"policy", "critic", "reward"} - {target}).pop()
    assert_same_tensors(
        dict(second.parameters(untouched)), dict(adapter_roles().parameters(untouched))
    )


def test_a_saved_adapter_is_one_that_peft_loads(tmp_path: Path):
    roles = shaken(adapter_roles())
    roles.save_adapter("policy", tmp_path)
    config = json.loads((tmp_path / "policy" / "adapter_config.json").read_text())
    assert config["target_modules"] == sorted(config["target_modules"]), "in every process"
    loaded = PeftModel.from_pretrained(tiny_language_model(seed=1), str(tmp_path / "policy"))
    ids = torch.arange(3, 30)[None]
    expected = roles.model("policy")(input_ids=ids).logits
    torch.testing.assert_close(loaded(input_ids=ids).logits, expected)
    assert config["r"] == 4


def test_adapters_of_another_kind_are_refused_and_nothing_is_loaded(tmp_path: Path):
    shaken(adapter_roles()).save_adapter("reward", tmp_path)
    shaken(adapter_roles()).save_adapter("policy", tmp_path)
    for roles, role, source, message in (
        (adapter_roles(r=2), "critic", "reward", "another rank or backbone"),
        (adapter_roles(alpha=16), "critic", "reward", r"r, alpha = \(4, 8\); expected \(4, 16\)"),
        (adapter_roles(), "critic", "policy", "not an adapter that can be read"),
        (adapter_roles(), "critic", "nowhere", "not an adapter that can be read"),
        (AdapterRoles(tiny_language_model("gpt2"), ["critic"], r=4, alpha=8, seed=0),
         "critic", "reward", "another rank or backbone"),
    ):  # fmt: skip
        before = weights_of(roles)
        with pytest.raises(ValueError, match=message):
            roles.load_adapter(role, tmp_path / source)
        assert_same_tensors(weights_of(roles), before)


def test_an_adapter_with_layers_missing_is_refused(tmp_path: Path):
    adapter_roles().save_adapter("policy", tmp_path)
    file = tmp_path / "policy" / "adapter_model.safetensors"
    tensors = load_file(file)
    del tensors[next(iter(tensors))]
    save_file(tensors, file)
    with pytest.raises(ValueError, match="another rank or backbone"):
        adapter_roles().load_adapter("policy", tmp_path / "policy")


def test_a_merged_policy_keeps_its_stop_tokens(coffee_tokenizer, tmp_path: Path):
    roles = adapter_roles()
    roles.model("policy").generation_config.eos_token_id = [2, 7]
    roles.save("policy", coffee_tokenizer, tmp_path)
    assert stop_ids(str(tmp_path), coffee_tokenizer) == (2, 7)


def test_a_merged_bfloat16_policy_answers_as_the_adapted_one(coffee_tokenizer, tmp_path: Path):
    roles = shaken(adapter_roles("bfloat16"))
    weights = backbone(roles)
    roles.save("policy", coffee_tokenizer, tmp_path)
    assert_same_tensors(backbone(roles), weights)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert loaded.dtype == torch.bfloat16
    merged = SeparateRoles({"policy": loaded}, trained=[])
    names = ("policy.logprobs",)
    found, expected = (outputs(r, names)["policy.logprobs"] for r in (merged, roles))
    assert (found - expected).abs().mean() < 0.05 * expected.abs().mean()


def test_training_an_adapter_learns():
    learner = learner_for(adapter_roles(r=8), learning_rate=1e-2)
    losses = [learner.update(labelled_trees(), LanguageModelling())["loss"] for _ in range(12)]
    assert losses[-1] < 0.8 * losses[0]
