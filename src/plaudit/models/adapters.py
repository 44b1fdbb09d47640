"""All roles on one frozen backbone: LoRA adapters and scalar heads.

The reference is the backbone with the adapters off; policy, critic and reward are an adapter each,
critic and reward with a scalar head. Four models become one and some megabytes.

Shapes: as in ``roles``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel
from peft.tuners.lora import Linear, LoraLayer
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import (
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    AutoModelForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.pytorch_utils import Conv1D

from plaudit.models.forward import layout_of
from plaudit.models.layout import Layout, TreeBatch
from plaudit.models.loading import init_scalar_head, save_model
from plaudit.models.low_rank import add_in_place
from plaudit.models.roles import (
    WITH_REFERENCE,
    States,
    by_role,
    language_outputs,
    language_states,
    scalar_outputs,
)
from plaudit.native.linear import merged_weight

HEAD_FILE = "score.safetensors"


class AdapterRoles:
    """Roles as adapters on one language model.

    Between calls the policy's adapter is the active one, so that the backbone can be sampled from
    as it stands.

    Args:
        base: the language model whose weights every role shares; they are frozen.
        trained: the roles to give an adapter; all but ``policy`` get a scalar head, in float32.
        r, alpha: rank of the adapters, and their scale as ``alpha / r``.
        heads: numbers that a scalar head gives.

    Raises:
        ValueError: a reward model is to be trained, of a family that could not be saved as one.
    """

    def __init__(
        self,
        base: PreTrainedModel,
        trained: Iterable[str],
        *,
        r: int,
        alpha: int,
        seed: int,
        heads: int = 1,
    ) -> None:
        self.trained = tuple(trained)
        if "reward" in self.trained:
            _check_scalar(type(base.config))
        self.layout: Layout = layout_of(base)
        self.device = base.device
        self._base = base
        lora = _lora(base, r, alpha)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._peft = PeftModel(base, lora, adapter_name=self.trained[0])
            for role in self.trained[1:]:
                self._peft.add_adapter(role, lora)
        add_in_place(base)
        self._adapted = list(self.trained)
        self._heads: dict[str, nn.Linear] = {}
        for i, role in enumerate(self.trained):
            if role != "policy":
                head = nn.Linear(base.config.hidden_size, heads, bias=False, device=base.device)
                init_scalar_head(head, seed + i)
                self._heads[role] = head
        self._rest()

    def outputs(
        self, batch: TreeBatch, names: Iterable[str], *, temperature: float = 1.0
    ) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for role, wanted in by_role(names).items():
            learned = role in self.trained
            reference = self._reference(batch) if wanted & WITH_REFERENCE.keys() else None
            with torch.set_grad_enabled(torch.is_grad_enabled() and learned), self._as(role):
                if role in self._heads:
                    head = self._heads[role]
                    found |= scalar_outputs(role, wanted, self._base, head, batch)
                else:
                    states = language_states(self._base, batch)
                    found |= language_outputs(role, wanted, states, batch, temperature, reference)
        return found

    @torch.no_grad()
    def _reference(self, batch: TreeBatch) -> States:
        with self._as("reference"):
            return language_states(self._base, batch)

    def model(self, role: str) -> PreTrainedModel:
        assert role == "policy", f"the backbone rests on the policy's adapter, not the {role}'s"
        return self._base

    def parameters(self, role: str) -> dict[str, nn.Parameter]:
        named = {n: p for n, p in self._base.named_parameters() if f".{role}." in n}
        if role in self._heads:
            named |= {f"score.{n}": p for n, p in self._heads[role].named_parameters()}
        return named

    def backbones(self) -> list[PreTrainedModel]:
        return [self._base]

    def save(self, role: str, tokenizer: PreTrainedTokenizerBase, path: Path) -> None:
        """Write the role with its adapter merged into a copy of the backbone's weights.

        Raises:
            ValueError: transformers has no scalar head for the backbone's family.
        """
        save_model(self._merged(role), tokenizer, path)

    def save_adapter(self, role: str, path: Path) -> None:
        """Write the adapter alone, in PEFT's format, and the scalar head beside it."""
        config = self._peft.peft_config[role]
        assert isinstance(config, LoraConfig)
        if isinstance(config.target_modules, set):
            # PEFT writes a set in the order of its hashes, another in every process.
            config.target_modules = sorted(config.target_modules)
        self._peft.save_pretrained(str(path), selected_adapters=[role], save_embedding_layers=False)
        if role in self._heads:
            save_file({"weight": self._heads[role].weight.detach()}, path / role / HEAD_FILE)

    def head(self, role: str) -> nn.Linear:
        """The role's scalar head."""
        return self._heads[role]

    def load_adapter(self, role: str, path: Path) -> None:
        """Begin a role from an adapter (and head) that ``save_adapter`` wrote.

        Raises:
            ValueError: the adapter cannot be read, or is of another rank, scale or backbone.
        """
        saved, scale = _read_adapter(path, with_head=role in self._heads)
        self._take_up(role, saved, scale, path)

    def add_frozen(self, role: str, path: Path) -> None:
        """Add a role that is not learned from an adapter and head that ``save_adapter`` wrote.

        Raises:
            ValueError: the adapter cannot be read, or is of another backbone.
        """
        assert role not in self._adapted, f"there is a {role} already"
        saved, scale = _read_adapter(path, with_head=True)
        self._peft.add_adapter(role, _lora(self._base, *scale))
        heads, size = saved["score.weight"].shape
        self._heads[role] = nn.Linear(size, heads, bias=False, device=self._base.device)
        self._adapted.append(role)
        self._take_up(role, saved, scale, path)
        for parameter in self.parameters(role).values():
            parameter.requires_grad_(False)
        self._rest()

    def _take_up(
        self, role: str, saved: dict[str, Tensor], scale: tuple[int, int], path: Path
    ) -> None:
        own = {_peft_name(name, role): p for name, p in self.parameters(role).items()}
        for name in sorted(own.keys() | saved.keys()):
            if name not in own or name not in saved or own[name].shape != saved[name].shape:
                raise ValueError(f"{path}: an adapter of another rank or backbone ({name})")
        lora = self._peft.peft_config[role]
        assert isinstance(lora, LoraConfig)
        if scale != (lora.r, lora.lora_alpha):
            raise ValueError(
                f"{path}: an adapter with r, alpha = {scale}; expected {(lora.r, lora.lora_alpha)}"
            )
        with torch.no_grad():
            for name, parameter in own.items():
                parameter.copy_(saved[name])

    def _weights(self, role: str) -> dict[str, Tensor]:
        """The backbone's weights with the role's adapter added, by the backbone's own names.

        The backbone is left alone: merging in place and back would round its weights.
        """
        weights = {
            name.replace(".base_layer", ""): tensor
            for name, tensor in self._base.state_dict().items()
            if ".lora_" not in name
        }
        for name, layer in self._base.named_modules():
            if isinstance(layer, LoraLayer) and role in self.trained:
                assert isinstance(layer, Linear), f"cannot merge {type(layer).__name__}"
                weights[f"{name}.weight"] = merged_weight(layer, [role])
        return weights

    @torch.no_grad()
    def _merged(self, role: str) -> PreTrainedModel:
        """A plain model that answers as the role does."""
        weights = self._weights(role)
        config = type(self._base.config).from_dict(self._base.config.to_dict())
        if role not in self._heads:
            merged = type(self._base)(config)
            merged.generation_config = self._base.generation_config
        else:
            _check_scalar(type(config))
            config.num_labels = self._heads[role].out_features
            merged = AutoModelForSequenceClassification.from_config(config)
            weights["score.weight"] = self._heads[role].weight.detach()
        nn.Module.to(merged, self._base.dtype)
        missing, _ = merged.load_state_dict(weights, strict=False)
        assert not missing, f"not merged: {missing}"
        return merged

    @contextmanager
    def _as(self, role: str) -> Iterator[None]:
        """With the role's adapter active, or with none for the reference."""
        assert role in (*self._adapted, "reference"), f"no such role: {role}"
        try:
            if role in self._adapted:
                self._peft.set_adapter(role)
                yield
            else:
                with self._peft.disable_adapter():
                    yield
        finally:
            self._rest()

    def _rest(self) -> None:
        """PEFT freezes all adapters but the active one; here every trained role learns."""
        self._peft.set_adapter("policy" if "policy" in self.trained else self.trained[0])
        for role in self.trained:
            for parameter in self.parameters(role).values():
                parameter.requires_grad_(True)


def _lora(base: PreTrainedModel, r: int, alpha: int) -> LoraConfig:
    return LoraConfig(
        r=r,
        lora_alpha=alpha,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
        # GPT-2's layers hold their weights transposed.
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in base.modules()),
    )


def _check_scalar(config: type) -> None:
    if config not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
        raise ValueError(f"{config.__name__}: transformers has no scalar head for it")


def _peft_name(name: str, role: str) -> str:
    """What PEFT's files call a parameter; the head's name stays."""
    if name.startswith("score."):
        return name
    return f"base_model.model.{name}".replace(f".{role}.weight", ".weight")


def _read_adapter(path: Path, *, with_head: bool) -> tuple[dict[str, Tensor], tuple[int, int]]:
    """An adapter's tensors (and head) by PEFT's names, and its rank and alpha."""
    try:
        config = json.loads((path / "adapter_config.json").read_text(encoding="utf-8"))
        tensors = load_file(path / "adapter_model.safetensors")
        if with_head:
            tensors["score.weight"] = load_file(path / HEAD_FILE)["weight"]
        return tensors, (config["r"], config["lora_alpha"])
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise ValueError(f"{path}: not an adapter that can be read ({error})") from error
