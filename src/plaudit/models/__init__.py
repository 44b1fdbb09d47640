"""Models: loading and saving, trees as tensors, the tree forward, roles on shared weights."""

from plaudit.models.adapters import AdapterRoles
from plaudit.models.forward import TokenLogprobs, hidden_states, token_logprobs
from plaudit.models.layout import TreeBatch, collate, micro_batches_of
from plaudit.models.loading import (
    is_scalar_model,
    load_language_model,
    load_scalar_model,
    model_path,
    save_model,
    stop_ids,
    torch_dtype,
)
from plaudit.models.memory import keep_freed_memory
from plaudit.models.roles import Roles, SeparateRoles, per_branch

__all__ = [
    "AdapterRoles",
    "Roles",
    "SeparateRoles",
    "TokenLogprobs",
    "TreeBatch",
    "collate",
    "hidden_states",
    "is_scalar_model",
    "keep_freed_memory",
    "load_language_model",
    "load_scalar_model",
    "micro_batches_of",
    "model_path",
    "per_branch",
    "save_model",
    "stop_ids",
    "token_logprobs",
    "torch_dtype",
]
