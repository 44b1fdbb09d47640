"""What a linear layer multiplies by: its own weight, or that with what LoRA adapters add to it.

Shapes: O outputs, I inputs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from peft.tuners.lora import Linear as LoraLinear
from torch import Tensor, nn


class Product(NamedTuple):
    """``y = x W' + b``."""

    weight_OI: Tensor
    bias_O: Tensor | None


def is_product(layer: nn.Module) -> bool:
    """Whether the layer computes a product with one matrix, and nothing else."""
    if type(layer) is not LoraLinear:
        return type(layer) is nn.Linear
    kept = (type(dropout) is nn.Identity for dropout in layer.lora_dropout.values())
    other = layer.lora_variant or any(layer.lora_bias.values())
    return is_product(layer.base_layer) and not other and (not layer.training or all(kept))


def product_of(layer: Any) -> Product:
    """As the layer is now, for which ``is_product`` holds."""
    if type(layer) is nn.Linear:
        return Product(layer.weight.detach(), layer.bias)
    idle = layer.disable_adapters or layer.merged
    active = [name for name in layer.active_adapters if name in layer.lora_A and not idle]
    return Product(merged_weight(layer, active), layer.base_layer.bias)


def merged_weight(layer: Any, adapters: Iterable[str]) -> Tensor:
    """The frozen weight with adapters added: a tensor of its own, rounded once."""
    weight = layer.base_layer.weight.detach()
    merged = weight.float()
    for name in adapters:
        merged = merged + layer.get_delta_weight(name).detach().float()
    return merged.to(weight.dtype)
