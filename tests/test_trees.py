"""Trees equal K separate sequences: log-probabilities and gradients, in every family."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch

from plaudit.models import SeparateRoles, collate, hidden_states, token_head, token_logprobs
from plaudit.models.attention import SHARED_KEYS
from plaudit.models.forward import layout_of
from plaudit.models.layout import Layout, attention_mask, common_layout
from plaudit.models.token_head import logprobs_and_entropy
from plaudit.native.calls import takes
from plaudit.text import micro_batches
from tests.tiny import BRANCHING, FAMILIES, random_tree, tiny_language_model

LAYOUTS = get_args(Layout)
SHAPES = [(5, [4, 7, 1]), (9, [3, 3]), (1, [2, 9, 4, 5]), (12, [6])]


def some_trees(seed: int = 0):
    rng = np.random.default_rng(seed)
    return [random_tree(rng, prompt=p, branches=b) for p, b in SHAPES]


def separate_logprobs(model, trees) -> torch.Tensor:
    """The reference: every prompt with every response, alone, through the model's own forward."""
    found = []
    for tree in trees:
        for branch in tree.branches:
            ids = torch.as_tensor(np.concatenate([tree.prompt_P, branch.ids]))[None].long()
            logprobs = model(input_ids=ids).logits.float().log_softmax(-1)[0]
            at = len(tree.prompt_P) + torch.as_tensor(np.flatnonzero(branch.mask))
            found.append(logprobs[at - 1, ids[0, at]])
    return torch.cat(found)


def tree_logprobs(model, trees, layout, **options) -> torch.Tensor:
    batch = collate(trees, layout=layout, device=model.device)
    hidden_ND = hidden_states(model, batch, batch.predict_N)
    return token_logprobs(model, hidden_ND, batch.target_N, **options).logprob_N


@pytest.mark.parametrize("family", FAMILIES)
def test_logprobs_and_gradients_equal_those_of_separate_sequences(family: str):
    model, trees = tiny_language_model(family), some_trees()
    weight_N = torch.randn(
        sum(int(t.tokens_per_branch_K.sum()) for t in trees),
        generator=torch.Generator().manual_seed(1),
    )
    expected_N = separate_logprobs(model, trees)
    (weight_N * expected_N).sum().backward()
    expected = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()

    actual_N = tree_logprobs(model, trees, layout_of(model))
    (weight_N * actual_N).sum().backward()

    torch.testing.assert_close(actual_N, expected_N, atol=1e-5, rtol=1e-5)
    for name, parameter in model.named_parameters():
        if name in expected:
            scale = expected[name].abs().max().clamp(min=1.0)
            difference = (parameter.grad - expected[name]).abs().max() / scale
            assert difference < 1e-5, f"{name}: {difference}"


def test_models_take_the_best_layout_they_can():
    layouts = {family: layout_of(tiny_language_model(family)) for family in FAMILIES}
    assert {f for f, layout in layouts.items() if layout != "rows"} == set(BRANCHING)
    assert {f for f, layout in layouts.items() if layout == "tree"} == {"gemma2"}  # not SDPA
    assert common_layout(["packed", "tree", "packed"]) == "tree"
    assert common_layout(["packed", "rows", "tree"]) == "rows"


@pytest.mark.parametrize("family", ["llama", "mistral", "gemma3"])
def test_all_layouts_have_the_same_flat_outputs(family: str):
    model, trees = tiny_language_model(family), some_trees()
    packed, *others = (collate(trees, layout=layout) for layout in LAYOUTS)
    for other in others:
        for name in ("target_N", "branch_N", "offset_N", "tree_M"):
            torch.testing.assert_close(getattr(packed, name), getattr(other, name))
    expected_N = tree_logprobs(model, trees, "rows")
    for layout in ("packed", "tree"):
        torch.testing.assert_close(tree_logprobs(model, trees, layout), expected_N)


def test_packed_trees_have_no_padding():
    batch = collate(some_trees(), layout="packed")
    assert batch.ids_BT.shape == (1, sum(p + sum(b) for p, b in SHAPES))
    assert [span.start for span in batch.spans] == [0, 17, 32, 53]


def test_a_sibling_is_never_seen():
    model = tiny_language_model()
    tree = random_tree(np.random.default_rng(0), prompt=4, branches=[5, 5])
    before = tree_logprobs(model, [tree], "tree")
    tree.branches[0].ids[:] = 3  # rewrite the first branch
    after = tree_logprobs(model, [tree], "tree")
    own = int(tree.tokens_per_branch_K[0])
    assert not torch.equal(before[:own], after[:own])
    torch.testing.assert_close(before[own:], after[own:])


def test_mask_by_hand():
    tree = random_tree(np.random.default_rng(0), prompt=2, branches=[2, 1])
    longer = random_tree(np.random.default_rng(0), prompt=3, branches=[3])
    batch = collate([tree, longer], layout="tree")
    expected = [
        [1, 0, 0, 0, 0, 0],  # trunk
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],  # first branch
        [1, 1, 1, 1, 0, 0],
        [1, 1, 0, 0, 1, 0],  # second branch: trunk and itself
        [0, 0, 0, 0, 0, 1],  # padding: itself alone
    ]
    assert attention_mask(batch)[0, 0].int().tolist() == expected
    windowed = attention_mask(batch, window=2)[0, 0].int().tolist()
    assert windowed[2] == [0, 1, 1, 0, 0, 0]
    assert windowed[3] == [0, 0, 1, 1, 0, 0]
    assert windowed[4] == [0, 1, 0, 0, 1, 0]


def test_chunks_and_temperature_change_nothing_else():
    model, trees = tiny_language_model(), some_trees()
    whole = tree_logprobs(model, trees, "tree")
    chunked = tree_logprobs(model, trees, "tree", at_once=3)
    torch.testing.assert_close(whole, chunked)
    warm = tree_logprobs(model, trees, "tree", temperature=2.0)
    batch = collate(trees, layout="tree")
    hidden_ND = hidden_states(model, batch, batch.predict_N)
    logits = model.lm_head(hidden_ND) / 2.0
    expected = logits.log_softmax(-1).gather(-1, batch.target_N[:, None])[:, 0]
    torch.testing.assert_close(warm, expected)


def test_entropy_is_that_of_the_distribution():
    model, trees = tiny_language_model(), some_trees()
    batch = collate(trees, layout="tree")
    hidden_ND = hidden_states(model, batch, batch.predict_N)
    found = token_logprobs(model, hidden_ND, batch.target_N).entropy_N
    expected = torch.distributions.Categorical(logits=model.lm_head(hidden_ND)).entropy()
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_the_head_and_its_gradients_are_those_of_the_formulas(
    temperature: float, native: bool, monkeypatch
):
    monkeypatch.setattr(token_head, "takes", takes if native else lambda logits: False)
    monkeypatch.setattr(token_head, "_BLOCK_ENTRIES", 50)  # several blocks of three rows
    generator = torch.Generator().manual_seed(0)
    draw = lambda *size: torch.randn(*size, generator=generator)  # noqa: E731
    logits_NV, target_N = draw(10, 16).mul(3).requires_grad_(), torch.arange(10)
    weights = draw(2, 10)
    log_NV = (logits_NV / temperature).log_softmax(-1)
    expected = log_NV[target_N, target_N], -(log_NV.exp() * log_NV).sum(-1)
    for used in ([0], [1], [0, 1]):
        found = logprobs_and_entropy(
            logits_NV, target_N, temperature=temperature, with_entropy=True
        )
        torch.testing.assert_close(found, expected)
        losses = [sum((weights[i] * x[i]).sum() for i in used) for x in (found, expected)]
        torch.testing.assert_close(
            *(torch.autograd.grad(loss, logits_NV, retain_graph=True) for loss in losses)
        )


def test_outputs_of_a_role_are_flat_and_in_order():
    roles = SeparateRoles({"policy": tiny_language_model()}, trained=[])
    trees = some_trees()
    batch = collate(trees, layout=roles.layout)
    together = roles.outputs(batch, ["policy.logprobs"], temperature=1.0)["policy.logprobs"]
    alone = [
        roles.outputs(collate([t], layout="tree"), ["policy.logprobs"], temperature=1.0)
        for t in trees
    ]
    torch.testing.assert_close(together, torch.cat([o["policy.logprobs"] for o in alone]))


def test_micro_batches_keep_every_row_and_the_budget():
    lengths = [5, 1, 9, 9, 3, 40, 2, 2, 2]
    batches = micro_batches(lengths, token_budget=18)
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    for batch in batches:
        padded = max(lengths[row] for row in batch) * len(batch)
        assert padded <= 18 or len(batch) == 1
    packed = micro_batches(lengths, token_budget=18, padded=False)
    assert [sum(lengths[row] for row in batch) for batch in packed] == [40, 18, 15]
    assert micro_batches([], 18) == []


def test_keys_shared_by_heads_give_what_repeated_ones_give():
    model, trees = tiny_language_model("llama"), some_trees()
    assert model.config._attn_implementation == SHARED_KEYS
    assert model.config.num_key_value_heads < model.config.num_attention_heads
    shared_N = tree_logprobs(model, trees, "tree")
    model.set_attn_implementation("sdpa")
    torch.testing.assert_close(tree_logprobs(model, trees, "tree"), shared_N, atol=1e-6, rtol=0)
    assert SHARED_KEYS not in model.config.to_json_string(), "nothing of it is saved"
