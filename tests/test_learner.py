"""The learner: no split into micro-batches, layout or precision changes what is learned."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from plaudit.learning import Learner, NonFiniteLoss, Optimiser, OptimiserSettings
from plaudit.models import Roles
from plaudit.objectives import LanguageModelling
from plaudit.stages.preference import equal_prompt_weights
from plaudit.stages.reward import weighed
from plaudit.stages.setup import equal_token_weights
from plaudit.text import Tokens, Tree
from tests.learning_trees import (
    OBJECTIVES,
    labelled_trees,
    learner_for,
    separate_roles,
    weights_of,
)

# With epsilon far above every gradient AdamW's first step is the gradient times a constant, so
# weights agree to 1e-6 only where gradients do.
PLAIN_STEP = {"learning_rate": 1e3, "epsilon": 1e3, "max_grad_norm": 1e9}


def one_update(roles: Roles, kind: str, *, token_budget: int) -> dict[str, Tensor]:
    learner = learner_for(roles, token_budget=token_budget, **PLAIN_STEP)
    before = weights_of(roles)
    learner.update(labelled_trees(), OBJECTIVES[kind])
    return {name: weight - before[name] for name, weight in weights_of(roles).items()}


def assert_equal_updates(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], atol=1e-6, rtol=1e-5, msg=name)


@pytest.mark.parametrize("layout", ["tree", "rows"])
@pytest.mark.parametrize("kind", OBJECTIVES)
def test_no_split_into_micro_batches_changes_an_update(kind: str, layout):
    expected = one_update(separate_roles(), kind, token_budget=10**6)
    assert max(float(change.abs().max()) for change in expected.values()) > 1e-3
    for token_budget in (1, 40, 10**6):
        roles = separate_roles()
        roles.layout = layout
        assert_equal_updates(one_update(roles, kind, token_budget=token_budget), expected)


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_no_split_into_micro_batches_changes_a_metric(kind: str):
    whole, split = (
        learner_for(separate_roles(), token_budget=budget).update(
            labelled_trees(), OBJECTIVES[kind]
        )
        for budget in (10**6, 1)
    )
    assert whole == pytest.approx(split, rel=1e-4, abs=1e-6)
    assert all(math.isfinite(value) for value in whole.values())


def test_stages_weights_sum_to_one():
    trees = labelled_trees()
    tokens = equal_token_weights(trees)
    assert sum(t.token["weight"].sum() for t in tokens) == pytest.approx(1.0)
    assert len({float(w) for t in tokens for w in t.token["weight"]}) == 1
    pairs = equal_prompt_weights([tree for tree in trees if len(tree.pair["weight"])])
    assert sum(t.pair["weight"].sum() for t in pairs) == pytest.approx(1.0)
    judged = weighed([t.with_branch_labels(rating_weight=t.branch["weight"]) for t in trees])
    assert sum(t.pair["weight"].sum() for t in judged) == pytest.approx(1.0)
    assert sum(t.branch["weight"].sum() for t in judged) == pytest.approx(1.0)


def test_forward_gives_each_tree_its_own_in_the_trees_order():
    names = ["policy.logprobs", "policy.entropy", "critic.values", "reward.scores"]
    roles, trees = separate_roles(), labelled_trees()
    alone = [Learner(roles, None, token_budget=1).forward([tree], names)[0] for tree in trees]
    for token_budget in (1, 40, 10**6):
        together = Learner(roles, None, token_budget=token_budget).forward(trees, names)
        for tree, found, expected in zip(trees, together, alone, strict=True):
            assert set(found) == set(names)
            for name in names:
                np.testing.assert_allclose(found[name], expected[name], atol=1e-5)
            assert len(found["policy.logprobs"]) == tree.tokens_per_branch_K.sum()
            assert len(found["reward.scores"]) == len(tree.branches)


def test_weights_are_the_models_own_and_stamped():
    learner = learner_for(separate_roles())
    checksum = learner.checksum()
    assert learner.weights().version == 0
    learner.update(labelled_trees(), LanguageModelling())
    tensors, version = learner.weights()
    assert version == 1 and learner.checksum() != checksum
    own = dict(learner.roles.model("policy").named_parameters())
    assert all(tensors[name].data_ptr() == own[name].data_ptr() for name in own)


def test_training_lowers_the_loss_in_bfloat16_as_in_float32():
    losses = {}
    for precision in ("float32", "bfloat16"):
        learner = learner_for(separate_roles(precision), learning_rate=3e-3)
        losses[precision] = [
            learner.update(labelled_trees(), LanguageModelling())["loss"] for _ in range(15)
        ]
        assert losses[precision][-1] < 0.7 * losses[precision][0]
    np.testing.assert_allclose(losses["bfloat16"], losses["float32"], rtol=0.05)


def test_bfloat16_keeps_float32_masters_that_many_tiny_updates_move():
    roles = separate_roles("bfloat16")
    learner = learner_for(roles, learning_rate=1e-5)
    first = weights_of(roles)["policy/lm_head.weight"]
    for _ in range(2):
        learner.update(labelled_trees(), LanguageModelling())
    assert learner.optimiser is not None
    parameter = roles.parameters("policy")["lm_head.weight"]
    moved = (parameter != first).float().mean()
    for _ in range(60):
        learner.update(labelled_trees(), LanguageModelling())
    master = learner.optimiser.tensors()["master/policy/lm_head.weight"]
    assert parameter.dtype == torch.bfloat16 and master.dtype == torch.float32
    assert torch.equal(parameter, master.bfloat16())
    assert (master != first.float()).float().mean() > 0.5
    assert (parameter != first).float().mean() > moved + 0.03


def one_parameter(value: Tensor, *, role: str = "policy", **options) -> Optimiser:
    settings = OptimiserSettings(
        learning_rates={role: 1e-4}, total_steps=10, schedule="constant", **options
    )
    return Optimiser({role: {"weight": nn.Parameter(value)}}, settings)


def test_updates_too_small_for_bfloat16_add_up():
    # Next to 1, bfloat16's numbers lie 0.0039 (below) and 0.0078 (above) apart; a step is 1e-4.
    value = torch.ones(8, dtype=torch.bfloat16)
    alone = nn.Parameter(value.clone())
    pure = torch.optim.AdamW([alone], lr=1e-4, weight_decay=0.0)
    optimiser = one_parameter(value)
    parameter = optimiser._parameters["policy"]["weight"]
    for _ in range(100):
        alone.grad = torch.ones_like(alone)
        pure.step()
        optimiser.backward(parameter.sum())
        optimiser.step()
    assert torch.equal(alone.detach(), torch.ones_like(alone))
    assert float(parameter.detach()[0]) == pytest.approx(0.99, abs=0.004)


def test_gradients_of_micro_batches_add_up_in_float32():
    optimiser = one_parameter(torch.zeros(1, dtype=torch.bfloat16), max_grad_norm=1e9)
    parameter = optimiser._parameters["policy"]["weight"]
    for size in [1.0] + [0.001] * 500:
        optimiser.backward((parameter * size).sum())
    assert optimiser.step()["policy"] == pytest.approx(1.5, rel=1e-3)


def test_what_had_no_gradient_in_a_step_stays_as_it_is():
    # The first step leaves moments behind, and weight decay would move it without any.
    parameters = {name: nn.Parameter(torch.ones(2, 2)) for name in ("always", "once")}
    settings = OptimiserSettings(learning_rates={"policy": 0.1}, total_steps=9, weight_decay=0.5)
    optimiser = Optimiser({"policy": parameters}, settings)
    optimiser.backward(parameters["always"].sum() + parameters["once"].sum())
    optimiser.step()
    always, once = (parameters[name].detach().clone() for name in ("always", "once"))
    optimiser.backward(parameters["always"].sum())
    assert optimiser.step()["policy"] == pytest.approx(2.0)
    assert torch.equal(parameters["once"], once) and not torch.equal(parameters["always"], always)


def test_clipping_bounds_the_norm_of_each_role():
    parameters = {role: {"weight": nn.Parameter(torch.zeros(2))} for role in ("policy", "critic")}
    settings = OptimiserSettings(
        learning_rates={"policy": 1e6, "critic": 1e6}, total_steps=10, schedule="constant",
        epsilon=1e6, max_grad_norm=0.5,
    )  # fmt: skip
    optimiser = Optimiser(parameters, settings)
    optimiser.backward(parameters["policy"]["weight"] @ torch.tensor([3.0, 4.0]))
    optimiser.backward(parameters["critic"]["weight"] @ torch.tensor([0.3, 0.0]))
    assert optimiser.step() == pytest.approx({"policy": 5.0, "critic": 0.3})
    moved = {role: -named["weight"].detach() for role, named in parameters.items()}
    torch.testing.assert_close(moved["policy"], torch.tensor([0.3, 0.4]), rtol=1e-4, atol=0)
    torch.testing.assert_close(moved["critic"], torch.tensor([0.3, 0.0]), rtol=1e-4, atol=0)


def test_only_matrices_decay():
    values = {"matrix": torch.ones(2, 2), "norm": torch.ones(2)}
    parameters = {name: nn.Parameter(value) for name, value in values.items()}
    settings = OptimiserSettings(
        learning_rates={"policy": 0.1}, total_steps=1, schedule="constant", weight_decay=0.5
    )
    optimiser = Optimiser({"policy": parameters}, settings)
    for parameter in parameters.values():
        optimiser.backward(0.0 * parameter.sum())
    optimiser.step()
    torch.testing.assert_close(parameters["matrix"].detach(), torch.full((2, 2), 0.95))
    assert torch.equal(parameters["norm"].detach(), torch.ones(2))


def test_the_schedule_reaches_the_optimiser():
    settings = {"total_steps": 6, "schedule": "linear", "warmup_steps": 2, "learning_rate": 0.1}
    learner = learner_for(separate_roles(), epsilon=1e-30, betas=(0.0, 0.0), **settings)
    rates, steps = [], []
    for _ in range(6):
        before = weights_of(learner.roles)["policy/lm_head.weight"]
        metrics = learner.update(labelled_trees(), LanguageModelling())
        change = weights_of(learner.roles)["policy/lm_head.weight"] - before
        rates.append(metrics["learning_rate/policy"])
        steps.append(float(change.abs().median()))  # without moments a step is the rate itself
    assert rates == pytest.approx([0.05, 0.1, 0.1, 0.075, 0.05, 0.025])
    assert steps == pytest.approx(rates, rel=1e-3)


def with_nan(trees: list[Tree]) -> list[Tree]:
    label = trees[0].token["weight"].copy()
    label[1] = math.nan
    return [trees[0].with_token_labels(weight=label), *trees[1:]]


def as_tree(saved: dict) -> Tree:
    """A tree of a failed batch, as anybody could read it back."""
    numbers = lambda labels: {n: np.array([float(x) for x in v]) for n, v in labels.items()}  # noqa: E731
    return Tree(
        id=saved["id"],
        prompt_P=np.array(saved["prompt"]),
        branches=tuple(
            Tokens(ids=np.array(b["ids"]), mask=np.array(b["mask"])) for b in saved["branches"]
        ),
        **{kind: numbers(saved[kind]) for kind in ("token", "branch", "pair")},
    )


def assert_same_tree(found: Tree, expected: Tree) -> None:
    np.testing.assert_array_equal(found.prompt_P, expected.prompt_P)
    for branch, other in zip(found.branches, expected.branches, strict=True):
        np.testing.assert_array_equal(branch.ids, other.ids)
        np.testing.assert_array_equal(branch.mask, other.mask)
    for kind in ("token", "branch", "pair"):
        labels, others = getattr(found, kind), getattr(expected, kind)
        assert labels.keys() == others.keys()
        for name in labels:
            np.testing.assert_array_equal(labels[name], others[name])


def test_a_loss_that_is_not_finite_changes_nothing_and_keeps_its_batch(tmp_path: Path):
    learner = learner_for(separate_roles(), token_budget=1, failures=tmp_path)
    checksum, bad = learner.checksum(), with_nan(labelled_trees())
    with pytest.raises(NonFiniteLoss, match="loss is not finite at update 1"):
        learner.update(bad, LanguageModelling())
    assert learner.checksum() == checksum and learner.version == 0
    (saved,) = json.loads((tmp_path / "non_finite_batch.json").read_text())
    assert_same_tree(as_tree(saved), bad[0])


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_nothing_of_a_failed_update_is_left_for_the_next(precision, tmp_path: Path):
    failed, fresh = (
        learner_for(separate_roles(precision), token_budget=1, failures=tmp_path) for _ in range(2)
    )
    with pytest.raises(NonFiniteLoss):
        failed.update(with_nan(labelled_trees()), LanguageModelling())
    for learner in (failed, fresh):
        learner.update(labelled_trees(seed=1), LanguageModelling())
    assert failed.checksum() == fresh.checksum()


class InfiniteGradient:
    """A finite loss whose gradient is not: the root of 0 x 0."""

    needs = ("policy.logprobs",)

    def __call__(self, outputs, batch):
        return outputs["policy.logprobs"].square().sum().mul(0.0).sqrt(), {}


def test_a_gradient_that_is_not_finite_changes_nothing_and_keeps_its_batch(tmp_path: Path):
    learner = learner_for(separate_roles(), failures=tmp_path)
    checksum, trees = learner.checksum(), labelled_trees()
    with pytest.raises(NonFiniteLoss, match="gradient is not finite at update 1"):
        learner.update(trees, InfiniteGradient())
    assert learner.checksum() == checksum and learner.version == 0
    saved = json.loads((tmp_path / "non_finite_batch.json").read_text())
    for found, expected in zip(saved, trees, strict=True):
        assert_same_tree(as_tree(found), expected)
    learner.update(trees, LanguageModelling())
    assert learner.checksum() != checksum
