"""Layers that keep their input alone for a gradient, and are computed again when it is taken.

Gradient checkpointing (Chen et al. 2016, "Training deep nets with sublinear memory cost").
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer

Said = dict[Any, tuple[Any, bool]]
"""By layer with adapters, which of them is active, and whether none is."""


def recompute_layers(model: nn.Module) -> None:
    """Have the model's layers computed again in the backward pass.

    Transformers' own switch asks for training mode, which is also that of dropout.

    Raises:
        ValueError: the model's family has no layers that can be.
    """
    layers = [m for m in model.modules() if isinstance(m, GradientCheckpointingLayer)]
    if not layers:
        raise ValueError(
            f"gradient_checkpointing: {type(model).__name__} has no layers that can be computed "
            "again; expected false"
        )
    for layer in layers:
        vars(layer)["forward"] = partial(_forward, layer, layer.forward)


def _forward(layer: nn.Module, forward: Callable[..., Any], *args: Any, **options: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*args, **options)
    contexts = partial(_contexts, layer)
    return checkpoint(forward, *args, use_reentrant=False, context_fn=contexts, **options)


def _contexts(layer: nn.Module) -> tuple[AbstractContextManager, AbstractContextManager]:
    """Of the pass now, and of the one to come, when another role's adapter may be active."""
    return nullcontext(), _adapted(_said_of(m for m in layer.modules() if _is_adapted(m)))


@contextmanager
def _adapted(said: Said) -> Iterator[None]:
    before = _said_of(said)
    _say(said)
    try:
        yield
    finally:
        _say(before)


def _is_adapted(module: nn.Module) -> bool:
    return isinstance(module, BaseTunerLayer)


def _said_of(modules: Iterable[Any]) -> Said:
    return {module: (module._active_adapter, module._disable_adapters) for module in modules}


def _say(said: Said) -> None:
    for module, (active, disabled) in said.items():
        module._active_adapter, module._disable_adapters = active, disabled
