"""Rows in whole blocks: what fills them changes nothing, and products have no other numbers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from plaudit.models import SeparateRoles, blocks, collate
from plaudit.models.blocks import BLOCK, block_rows
from plaudit.models.layout import TreeBatch
from plaudit.models.loading import as_dtype
from tests.test_trees import some_trees
from tests.tiny import tiny_language_model, tiny_scalar_model

ASKED = ("policy.logprobs", "policy.entropy", "critic.values")


def test_rows_come_in_blocks_where_kernels_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    for compiled, block in ((True, BLOCK), (False, 1)):
        monkeypatch.setattr(blocks, "compiles_products", lambda _, said=compiled: said)
        assert block_rows(tiny_language_model()) == block


@pytest.mark.parametrize("family", ["llama", "qwen3", "mistral", "gpt_neox"])
def test_what_fills_a_block_changes_nothing(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = collate(some_trees(), layout="packed")
    assert batch.ids_BT.shape[1] % 12 and len(batch.predict_N) % 12, "something is to be filled"
    plain, plain_gradients = outputs_of(family, batch)
    monkeypatch.setattr(blocks, "block_rows", lambda _: 12)
    found, gradients = outputs_of(family, batch)
    torch.testing.assert_close(found, plain, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(gradients, plain_gradients, rtol=1e-4, atol=1e-5)


def test_all_products_are_of_whole_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "compiles_products", lambda _: True)
    model = tiny_language_model()
    as_dtype(model, "bfloat16")
    rows: set[int] = set()
    for module in model.modules():
        if isinstance(module, nn.Linear):
            module.register_forward_hook(
                lambda _, inputs, __: rows.add(inputs[0].numel() // inputs[0].shape[-1])
            )
    roles = SeparateRoles({"policy": model}, ["policy"])
    roles.outputs(collate(some_trees(), layout="packed"), ["policy.logprobs"])
    assert rows and all(count % BLOCK == 0 for count in rows)


def outputs_of(family: str, batch: TreeBatch) -> tuple[dict[str, Tensor], list[Tensor]]:
    models = {"policy": tiny_language_model(family), "critic": tiny_scalar_model(family)}
    roles = SeparateRoles(models, models)
    found = roles.outputs(batch, ASKED)
    learned = [parameter for role in models for parameter in roles.parameters(role).values()]
    weighed = sum((x * torch.arange(1, len(x) + 1)).sum() for x in found.values())
    assert isinstance(weighed, Tensor)
    gradients = torch.autograd.grad(weighed, learned)
    return {name: x.detach() for name, x in found.items()}, list(gradients)
