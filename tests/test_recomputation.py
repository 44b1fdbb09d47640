"""Layers computed again for their gradient: the same updates, with less kept between the passes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from plaudit.models import Roles, SeparateRoles, collate
from plaudit.models.forward import last_layer_reads
from plaudit.models.loading import as_dtype
from plaudit.models.recomputation import recompute_layers
from plaudit.stages.options import OptimiserOptions
from plaudit.stages.setup import make_learner
from tests.learning_trees import (
    OBJECTIVES,
    adapter_roles,
    labelled_trees,
    learner_for,
    separate_roles,
    weights_of,
)
from tests.tiny import tiny_language_model

MAKERS = {"separate": separate_roles, "adapters": adapter_roles}


def trained(roles: Roles, objective: str) -> dict[str, torch.Tensor]:
    learner = learner_for(roles, learning_rate=1e-2)
    for seed in range(3):
        learner.update(labelled_trees(seed), OBJECTIVES[objective])
    return weights_of(roles)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("kind", MAKERS)
def test_what_is_learned_is_the_same_to_the_last_bit(kind: str, objective: str, precision):
    expected = trained(MAKERS[kind](precision), objective)
    roles = MAKERS[kind](precision)
    for model in roles.backbones():
        recompute_layers(model)
    found = trained(roles, objective)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def kept_bytes(roles: Roles) -> int:
    """What autograd keeps of a policy's pass, weights left out."""
    own = {p.untyped_storage().data_ptr() for p in roles.model("policy").parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    batch = collate(labelled_trees(), layout=roles.layout)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        roles.outputs(batch, ["policy.logprobs"], temperature=1.0)
    return sum(kept.values())


@pytest.mark.parametrize("kind", MAKERS)
def test_a_layer_keeps_its_input_alone(kind: str):
    roles = MAKERS[kind]()
    before = kept_bytes(roles)
    for model in roles.backbones():
        recompute_layers(model)
    assert kept_bytes(roles) < 0.5 * before


@pytest.mark.parametrize("asked", [False, True])
def test_a_stage_recomputes_where_asked(asked: bool, coffee_tokenizer, tmp_path: Path):
    roles = separate_roles()
    before = kept_bytes(roles)
    options = OptimiserOptions(learning_rate=1e-3, gradient_checkpointing=asked)
    make_learner(roles, options, coffee_tokenizer, tmp_path, total_steps=1)
    assert (kept_bytes(roles) < 0.5 * before) is asked


def test_layers_stay_what_they_are():
    model = tiny_language_model(seed=0)
    before = last_layer_reads(model), set(model.state_dict())
    recompute_layers(model)
    assert (last_layer_reads(model), set(model.state_dict())) == before


def test_dropout_stays_off():
    config = GPT2Config(n_layer=2, n_embd=32, n_head=2, vocab_size=300, n_positions=64)
    model = GPT2LMHeadModel(config).eval()
    as_dtype(model, "float32")
    roles = SeparateRoles({"policy": model}, trained=["policy"])
    recompute_layers(model)
    batch = collate(labelled_trees(), layout=roles.layout)
    found = [roles.outputs(batch, ["policy.logprobs"])["policy.logprobs"] for _ in range(2)]
    assert torch.equal(*found)


def test_a_model_without_such_layers_is_refused():
    with pytest.raises(ValueError, match="Linear has no layers that can be computed again"):
        recompute_layers(torch.nn.Linear(2, 2))
