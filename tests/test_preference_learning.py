"""Preference losses in the learner: quantities of the vocabulary, sums over any split, optima.

Shapes: N policy tokens, V vocabulary.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from plaudit.models import AdapterRoles, SeparateRoles, collate, hidden_states
from plaudit.models.forward import language_logits
from plaudit.objectives import PREFERENCE_LOSSES, PreferenceOptimisation, PreferenceTerm
from plaudit.stages.preference_data import mismatched, weighed
from plaudit.stages.preference_reference import with_reference
from plaudit.stages.preference_update import (
    UpdateLabels,
    with_matched_sides,
    with_sorted_reference,
)
from plaudit.text import Tokens, Tree
from tests.labelled import batch_of
from tests.learning_trees import labelled_trees, learner_for
from tests.tiny import random_tree, tiny_language_model


def term(name: str, coefficient: float = 1.0, **settings: float) -> PreferenceTerm:
    row = PREFERENCE_LOSSES[name]
    return PreferenceTerm(name=name, row=row, coefficient=coefficient, settings=settings)


EVERY = tuple(term(name, 0.1) for name in PREFERENCE_LOSSES)
JOINT = ("policy.logprobs", "policy.log_collision", "policy.reference_kl")


def two_models() -> SeparateRoles:
    """A policy that has left its reference."""
    models = {"policy": tiny_language_model(seed=1), "reference": tiny_language_model(seed=2)}
    return SeparateRoles(models, trained=["policy"])


def adapters() -> AdapterRoles:
    roles = AdapterRoles(tiny_language_model(seed=1), ["policy"], r=4, alpha=8, seed=0)
    with torch.no_grad():
        for parameter in roles.parameters("policy").values():
            parameter.normal_(std=0.1)
    return roles


def log_probs(roles: SeparateRoles | AdapterRoles, role: str, batch) -> torch.Tensor:
    """``[N, V]``, from a forward pass of the role's own."""
    if isinstance(roles, AdapterRoles):
        with roles._as(role):
            model = roles.model("policy")
            hidden = hidden_states(model, batch, batch.predict_N)
    else:
        model = roles.model(role)
        hidden = hidden_states(model, batch, batch.predict_N)
    return language_logits(model, hidden).double().log_softmax(-1)


@pytest.mark.parametrize("make", [two_models, adapters])
def test_quantities_of_the_whole_vocabulary(make):
    roles, rng = make(), np.random.default_rng(0)
    batch = collate([random_tree(rng, prompt=4, branches=[5, 3])], layout=roles.layout)
    found = roles.outputs(batch, JOINT, temperature=1.0)
    policy_NV, reference_NV = (
        log_probs(roles, "policy", batch),
        log_probs(roles, "reference", batch),
    )
    kl_N = (reference_NV.exp() * (reference_NV - policy_NV)).sum(-1)
    collision_N = (policy_NV.exp() ** 2).sum(-1).log()
    close = torch.testing.assert_close
    close(found["policy.reference_kl"].double(), kl_N, atol=1e-5, rtol=1e-5)
    close(found["policy.log_collision"].double(), collision_N, atol=1e-5, rtol=1e-5)
    assert kl_N.min() > 0.01 and not found["policy.log_collision"].requires_grad

    parameters = list(roles.parameters("policy").values())
    slopes = torch.autograd.grad(found["policy.reference_kl"].sum(), parameters, allow_unused=True)
    expected = torch.autograd.grad(kl_N.sum(), parameters, allow_unused=True)
    for slope, plain in zip(slopes, expected, strict=True):
        assert (slope is None) == (plain is None)
        if slope is not None and plain is not None:
            close(slope, plain, atol=1e-4, rtol=1e-3)


def update_trees(learner) -> list[Tree]:
    """Pairs and ratings with every label that any loss of the table reads."""
    trees = labelled_trees(shapes=[(5, [4, 7, 1]), (9, [3, 3]), (1, [2, 9, 4, 5]), (3, [8, 2])])
    trees = [t.with_branch_labels(rating_weight=t.branch["weight"]) for t in trees]
    trees = with_reference(trees, learner, "reference.logprobs")
    strangers = with_reference(mismatched(trees, 100), learner, "reference.logprobs")
    labels = UpdateLabels.of(EVERY, {})
    return weighed(labels.label(trees, strangers, learner)[0])


def test_no_split_into_micro_batches_changes_the_metrics_of_all_losses_together():
    found = []
    for token_budget in (1, 48, 10_000):
        learner = learner_for(two_models(), token_budget=token_budget)
        trees = update_trees(learner)
        found.append(learner.update(trees, PreferenceOptimisation(terms=EVERY)))
    for metrics in found[:2]:
        assert metrics == pytest.approx(found[2], rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("name", PREFERENCE_LOSSES)
def test_a_gradient_is_the_same_under_every_split(name: str):
    slopes = []
    for token_budget in (1, 10_000):
        roles = two_models()
        learner = learner_for(roles, token_budget=token_budget)
        trees = update_trees(learner)
        objective = PreferenceOptimisation(terms=(term(name),))
        for rows in learner._micro_batches(trees):
            batch = collate([trees[row] for row in rows], layout=roles.layout)
            objective(roles.outputs(batch, objective.needs, temperature=1.0), batch)[0].backward()
        slopes.append([p.grad for p in roles.parameters("policy").values()])
    scale = max(float(slope.abs().max()) for slope in slopes[1] if slope is not None)
    for cut, whole in zip(*slopes, strict=True):
        torch.testing.assert_close(cut, whole, atol=1e-5 * scale, rtol=1e-4)


# A bandit of two actions: responses of one token each, from a model that is uniform at first.


def bandit(probability: float) -> Tree:
    branches = tuple(Tokens(ids=np.array([i], np.int32), mask=np.ones(1, bool)) for i in (7, 9))
    pair = {"better": np.array([0]), "worse": np.array([1])}
    tree = Tree(id="bandit", prompt_P=np.array([3, 4], np.int32), branches=branches, pair=pair)
    tree = tree.with_branch_labels(rating_weight=np.zeros(2, np.float32))
    one = np.ones(1, np.float32)
    return tree.with_pair_labels(probability=probability * one, margin=0 * one, weight=one)


def learned(probability: float, name: str, **settings: float) -> float:
    """The better action's probability against the worse, once the learner has settled."""
    model = tiny_language_model()
    with torch.no_grad():
        model.get_output_embeddings().weight.zero_()
    roles = SeparateRoles({"policy": model}, trained=["policy"])
    learner = learner_for(roles, learning_rate=3e-3, schedule="linear", total_steps=150)
    trees = weighed(with_reference([bandit(probability)], learner))
    objective = PreferenceOptimisation(terms=(term(name, **settings),))
    for _ in range(150):
        learner.update(trees, objective)
    better, worse = learner.forward(trees, ["policy.logprobs"])[0]["policy.logprobs"]
    return 1 / (1 + math.exp(worse - better))


def sigma(x: float) -> float:
    return 1 / (1 + math.exp(-x))


OPTIMA = {
    "ipo .5": (sigma(1.0), 1.0, "ipo", {"beta": 0.5}),
    "ipo .25": (sigma(2.0), 1.0, "ipo", {"beta": 0.25}),
    "soft ipo": (sigma(0.6), 0.8, "ipo", {"beta": 0.5}),
    "soft dpo": (sigma(math.log(4) / 0.5), 0.8, "dpo", {"beta": 0.5}),
    "cdpo": (sigma(math.log(9) / 1.0), 1.0, "cdpo", {"beta": 1.0}),
    "exo": (sigma(math.log(4) / 0.5), 1.0, "exo", {"beta": 0.5, "label_smoothing": 0.2}),
    "robust": (sigma(math.log(3) / 1.0), 0.7, "robust", {"beta": 1.0, "label_smoothing": 0.1}),
    "simpo": (sigma(math.log(4) / 2), 0.8, "simpo", {"beta": 2.0, "simpo_gamma": 0.0}),
    "odpo": (sigma(math.log(4)), 0.8, "odpo", {"beta": 1.0}),
}


@pytest.mark.parametrize("case", OPTIMA)
def test_the_learner_reaches_the_known_optimum(case: str):
    optimum, probability, name, settings = OPTIMA[case]
    assert learned(probability, name, **settings) == pytest.approx(optimum, abs=1e-3)


def test_aot_meets_equal_ranks():
    """Policy margins 3, 1 and reference margins 5, 4: the larger meets the larger."""
    trees = [bandit(1.0), bandit(1.0)]
    sums = [
        (np.array([3.0, 0.0]), np.array([4.0, 0.0])),
        (np.array([1.0, 0.0]), np.array([5.0, 0])),
    ]
    found = with_sorted_reference(trees, sums)
    assert [float(tree.pair["sorted_reference"][0]) for tree in found] == [5.0, 4.0]


def test_unpaired_aot_is_the_loss_of_both_sides_sorted():
    """Better log-ratios 1, 3, 2 and worse 5, 4, 6: value and slopes are those of sorting whole."""
    trees = [bandit(1.0) for _ in range(3)]
    ratios = np.array([[1.0, 5.0], [3.0, 4.0], [2.0, 6.0]])
    trees = with_matched_sides(trees, [(ratio_K, np.zeros(2)) for ratio_K in ratios])
    assert [float(t.pair["matched_rejected"][0]) for t in trees] == [4.0, 6.0, 5.0]
    assert [float(t.pair["matched_chosen"][0]) for t in trees] == [2.0, 1.0, 3.0]

    pair = lambda name: torch.tensor([float(t.pair[name][0]) for t in trees]).double()  # noqa: E731
    logprob_M = torch.tensor(ratios).flatten().requires_grad_()
    batch = batch_of([1] * 6, token={"reference": torch.zeros(6)}, branch={}, pair={
        "better": torch.tensor([0, 2, 4]), "worse": torch.tensor([1, 3, 5]),
        **{name: pair(name) for name in ("matched_chosen", "matched_rejected", "probability")},
        "weight": torch.ones(3),
    })  # fmt: skip
    objective = PreferenceOptimisation(terms=(term("aot_unpaired"),))
    loss = objective({"policy.logprobs": logprob_M}, batch)[0]
    (slope_M,) = torch.autograd.grad(loss, logprob_M)

    plain_K2 = torch.tensor(ratios, requires_grad=True)
    (better_K, _), (worse_K, _) = (side.sort() for side in plain_K2.unbind(1))
    plain = torch.log1p((-0.1 * (better_K - worse_K)).exp()).sum()
    (expected_K2,) = torch.autograd.grad(plain, plain_K2)
    assert float(loss.detach()) == pytest.approx(float(plain.detach()), abs=1e-9)
    torch.testing.assert_close(slope_M, expected_K2.flatten(), atol=1e-9, rtol=0)


def test_bco_s_mean_runs_over_all_updates_and_a_checkpoint_carries_it():
    learner = learner_for(two_models())
    rng = np.random.default_rng(0)
    trees = [random_tree(rng, prompt=3, branches=[4, 2]) for _ in range(4)]
    trees = with_reference(trees, learner, "reference.logprobs")
    outputs = learner.forward(trees, ["policy.logprobs"])
    ratios = [
        part.sum()
        for tree, found in zip(trees, outputs, strict=True)
        for part in np.split(
            found["policy.logprobs"] - tree.token["reference"],
            np.cumsum(tree.tokens_per_branch_K)[:-1],
        )
    ]
    first, labels = UpdateLabels.of([term("bco")], {}).label(trees[:2], [], learner)
    second, _ = UpdateLabels.of([term("bco")], labels.as_dict()).label(trees[2:], [], learner)
    assert float(first[0].branch["bco_mean"][0]) == pytest.approx(np.mean(ratios[:4]), rel=1e-5)
    assert float(second[1].branch["bco_mean"][1]) == pytest.approx(np.mean(ratios), rel=1e-5)


def test_kto_s_z0_is_the_mean_over_strangers_and_never_below_0():
    learner = learner_for(two_models())
    rng = np.random.default_rng(0)
    trees = [random_tree(rng, prompt=3, branches=[4, 2]) for _ in range(3)]
    met = mismatched(trees, 5)
    assert [list(t.prompt_P) for t in met] == [list(t.prompt_P) for t in trees]
    assert [list(b.ids) for b in met[0].branches] == [list(b.ids[:2]) for b in trees[1].branches]
    assert [list(b.ids) for b in met[2].branches] == [list(b.ids[:2]) for b in trees[0].branches]
    for sign in (1.0, -1.0):
        policy = learner.forward(met, ["policy.logprobs"])
        labelled = [
            tree.with_token_labels(reference=found["policy.logprobs"] - sign * 0.5)
            for tree, found in zip(met, policy, strict=True)
        ]
        found, _ = UpdateLabels.of([term("kto")], {}).label(trees, labelled, learner)
        tokens = np.mean([n for tree in met for n in tree.tokens_per_branch_K])
        expected = max(0.0, sign * 0.5 * tokens)
        assert float(found[1].branch["kto_z0"][0]) == pytest.approx(expected, abs=1e-4)


def test_one_prompt_has_no_strangers():
    with pytest.raises(ValueError, match="2 prompts at least"):
        mismatched([bandit(1.0)], 10)
