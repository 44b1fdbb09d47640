"""A score at every token: what the response is worth if it ended there.

Shapes: M branches, N policy tokens, H heads.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from plaudit.models import AdapterRoles, SeparateRoles, collate, load_scalar_model, save_model
from plaudit.text import Tokens, Tree
from tests.tiny import random_tree, tiny_language_model, tiny_scalar_model

SHAPES = [(5, [4, 7, 1]), (9, [3, 3]), (1, [2, 9])]


def trees() -> list[Tree]:
    rng = np.random.default_rng(0)
    return [random_tree(rng, prompt=p, branches=b) for p, b in SHAPES]


def outputs(roles: SeparateRoles | AdapterRoles, name: str, batch: list[Tree]) -> torch.Tensor:
    with torch.no_grad():
        return roles.outputs(collate(batch, layout=roles.layout), [name], temperature=1.0)[name]


def cut(tree: Tree) -> list[Tree]:
    """The tree's branches by themselves, each cut after every one of its policy tokens."""
    return [
        Tree(
            id="cut",
            prompt_P=tree.prompt_P,
            branches=(Tokens(ids=branch.ids[: at + 1], mask=branch.mask[: at + 1]),),
        )
        for branch in tree.branches
        for at in np.flatnonzero(branch.mask)
    ]


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma3", "jamba"])
def test_a_step_scores_what_the_response_cut_there_scores(family: str):
    roles = SeparateRoles({"reward": tiny_scalar_model(family, seed=3)}, trained=[])
    found_N = outputs(roles, "reward.step_scores", trees())
    alone = [one for tree in trees() for one in cut(tree)]
    expected_N = outputs(roles, "reward.scores", alone)
    torch.testing.assert_close(found_N, expected_N, atol=1e-4, rtol=1e-4)
    assert float(found_N.std()) > 0.01


def test_heads_are_the_rows_of_one_head(coffee_tokenizer, tmp_path):
    one = tiny_scalar_model(seed=3)
    save_model(tiny_language_model(seed=3), coffee_tokenizer, tmp_path / "language")
    three = load_scalar_model(str(tmp_path / "language"), precision="float32", seed=5, heads=3)
    roles = SeparateRoles({"reward": three}, trained=[])
    found_MH = outputs(roles, "reward.head_scores", trees())
    assert found_MH.shape == (7, 3)
    one.load_state_dict(three.state_dict() | {"score.weight": three.score.weight[1:2]})
    single = SeparateRoles({"reward": one}, trained=[])
    torch.testing.assert_close(found_MH[:, 1], outputs(single, "reward.scores", trees()))
    torch.testing.assert_close(outputs(single, "reward.head_scores", trees())[:, 0], found_MH[:, 1])
    with pytest.raises(AssertionError, match="of several heads"):
        outputs(roles, "reward.scores", trees())
    save_model(three, coffee_tokenizer, tmp_path / "three")
    again = load_scalar_model(str(tmp_path / "three"), precision="float32", seed=0, heads=3)
    assert torch.equal(again.score.weight, three.score.weight)
    with pytest.raises(ValueError, match=r"score\.weight is \[3, 32\] in the checkpoint"):
        load_scalar_model(str(tmp_path / "three"), precision="float32", seed=0)


def test_an_adapter_of_several_heads_is_saved_as_a_model(coffee_tokenizer, tmp_path):
    roles = AdapterRoles(tiny_language_model(seed=1), ["reward"], r=4, alpha=8, seed=0, heads=2)
    expected = outputs(roles, "reward.head_scores", trees())
    roles.save("reward", coffee_tokenizer, tmp_path)
    loaded = load_scalar_model(str(tmp_path), precision="float32", seed=0, heads=2)
    merged = SeparateRoles({"reward": loaded}, trained=[])
    found = outputs(merged, "reward.head_scores", trees())
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
