"""``policy.kl``: the KL to the reference over the whole vocabulary, in every layout.

Shapes: N policy tokens, T positions, V vocabulary, D hidden size.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from plaudit.models import Roles, SeparateRoles, collate
from plaudit.models.distributions import policy_kls
from plaudit.objectives import k1
from plaudit.text import Tree
from tests.learning_trees import adapter_roles, labelled_trees
from tests.test_roles import shaken
from tests.tiny import tiny_language_model


def by_definition(
    policy: PreTrainedModel, reference: PreTrainedModel, trees: list[Tree], temperature: float
) -> Tensor:
    """Each response as a sequence of its own, and the sum over all tokens that could follow."""
    found = []
    for tree in trees:
        for branch in tree.branches:
            ids = torch.as_tensor([[*tree.prompt_P.tolist(), *branch.ids.tolist()]])
            log_TV, reference_TV = (
                (model(ids).logits[0, len(tree.prompt_P) - 1 : -1] / temperature).log_softmax(-1)
                for model in (policy, reference)
            )
            kl_T = (log_TV.exp() * (log_TV - reference_TV)).sum(-1)
            found.append(kl_T[torch.as_tensor(branch.mask)])
    return torch.cat(found)


def kl_of(roles: Roles, trees: list[Tree], temperature: float) -> Tensor:
    batch = collate(trees, layout=roles.layout)
    return roles.outputs(batch, ["policy.kl", "policy.logprobs"], temperature=temperature)[
        "policy.kl"
    ]


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("family", ["llama", "gemma2", "mamba"])
def test_it_is_the_sum_over_the_vocabulary(family: str, temperature: float):
    models = {"policy": tiny_language_model(family, 1), "reference": tiny_language_model(family, 2)}
    roles, trees = SeparateRoles(models, trained=["policy"]), labelled_trees()
    found_N = kl_of(roles, trees, temperature)
    with torch.no_grad():
        expected_N = by_definition(models["policy"], models["reference"], trees, temperature)
    assert found_N.requires_grad and float(expected_N.min()) > 0
    torch.testing.assert_close(found_N.detach(), expected_N, atol=1e-4, rtol=1e-4)


def test_with_adapters_the_reference_is_the_backbone():
    trees, roles = labelled_trees(), adapter_roles()
    assert float(kl_of(roles, trees, 1.0).detach().abs().max()) < 1e-5
    found_N = kl_of(shaken(roles), trees, 1.0)
    with torch.no_grad():
        expected_N = by_definition(
            roles.model("policy"), tiny_language_model(seed=1), trees, temperature=1.0
        )
    torch.testing.assert_close(found_N.detach(), expected_N, atol=1e-4, rtol=1e-4)
    found_N.sum().backward()
    grads = [p.grad for p in roles.parameters("policy").values()]
    assert any(grad is not None and bool(grad.any()) for grad in grads)


def test_chunks_change_neither_value_nor_gradient():
    policy, reference = tiny_language_model(seed=1), tiny_language_model(seed=2)
    hidden_ND = torch.randn(7, 32, generator=torch.Generator().manual_seed(0))
    values, slopes = [], []
    for chunk in (2, 100):
        leaf_ND = hidden_ND.clone().requires_grad_()
        kl_N = policy_kls(policy, leaf_ND, reference, hidden_ND, chunk_tokens=chunk)
        (slope_ND,) = torch.autograd.grad((kl_N * torch.arange(7)).sum(), leaf_ND)
        values.append(kl_N.detach())
        slopes.append(slope_ND)
    torch.testing.assert_close(values[0], values[1])
    torch.testing.assert_close(slopes[0], slopes[1])


def test_k1_of_a_drawn_token_is_right_on_average():
    models = {"policy": tiny_language_model(seed=1), "reference": tiny_language_model(seed=2)}
    hidden_ND = torch.randn(1, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        exact_N = policy_kls(models["policy"], hidden_ND, models["reference"], hidden_ND)
        log_V, reference_V = (
            model.get_output_embeddings()(hidden_ND)[0].log_softmax(-1)  # pyright: ignore[reportOptionalCall]
            for model in models.values()
        )
    expected = float((log_V.exp() * k1(log_V - reference_V)).sum())
    assert float(exact_N) == pytest.approx(expected, rel=1e-5)
