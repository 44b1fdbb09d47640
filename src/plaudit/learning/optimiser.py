"""AdamW over roles, with float32 master weights where the model computes in bfloat16."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

Schedule = Literal["constant", "linear", "cosine"]


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimiserSettings:
    """AdamW's settings, shared by all roles but for the learning rate."""

    learning_rates: Mapping[str, float]
    """Peak learning rate by role."""
    total_steps: int
    schedule: Schedule = "linear"
    warmup_steps: int = 0
    weight_decay: float = 0.0
    """On matrices only; norms, biases and other vectors are never decayed."""
    betas: tuple[float, float] = (0.9, 0.95)
    epsilon: float = 1e-8
    max_grad_norm: float = 1.0
    """Bound on the gradient's 2-norm, role by role."""


def schedule_factor(kind: Schedule, step: int, *, total_steps: int, warmup_steps: int) -> float:
    """What the peak learning rate is multiplied by at ``step`` (from 0).

    Linear warm-up from ``1/warmup_steps``, then constant, or down to 0 (linear), or down to a
    tenth (cosine, as Ouyang et al. 2022 have it).
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    if kind == "constant":
        return 1.0
    done = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    if kind == "linear":
        return max(0.0, 1.0 - done)
    return 0.1 + 0.9 * 0.5 * (1.0 + math.cos(math.pi * min(1.0, done)))


class Optimiser:
    """Owns the gradients between micro-batches, the step, and the state that a checkpoint needs.

    Where a parameter is not float32 a float32 master is kept: gradients are added up in the
    master's precision, the step is taken there, and the parameter is its rounded copy.

    What gradients are added up in is allocated once. Were it allocated amid a micro-batch's
    activations, the holes that those leave would be too small for the next micro-batch's.
    """

    def __init__(
        self, parameters: Mapping[str, Mapping[str, nn.Parameter]], settings: OptimiserSettings
    ) -> None:
        self._settings = settings
        self._parameters = {role: dict(named) for role, named in parameters.items()}
        self._masters = {
            role: {name: _master(p) for name, p in named.items()}
            for role, named in self._parameters.items()
        }
        groups = [group for role in self._masters for group in self._groups(role)]
        self._adam = torch.optim.AdamW(
            groups, betas=settings.betas, eps=settings.epsilon, fused=True
        )
        self._sums = {
            master: torch.zeros_like(master)
            for named in self._masters.values()
            for master in named.values()
        }
        self._added: set[nn.Parameter] = set()
        """The masters whose sums hold a gradient of this step."""
        self.steps = 0

    def backward(self, loss: Tensor) -> None:
        """Add the loss's gradient to what the next step takes."""
        with self._taking():
            loss.backward()

    @contextmanager
    def _taking(self) -> Iterator[None]:
        """Take each gradient as soon as it is whole, so that no two are held at once."""

        def take(parameter: Tensor, master: nn.Parameter) -> None:
            assert parameter.grad is not None
            if master in self._added:
                self._sums[master].add_(parameter.grad)
            else:
                self._sums[master].copy_(parameter.grad)
                self._added.add(master)
            parameter.grad = None

        hooks = [
            parameter.register_post_accumulate_grad_hook(lambda p, master=master: take(p, master))
            for parameter, master in self._pairs()
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def step(self) -> dict[str, float]:
        """Clip, step, clear; returns each role's gradient norm before clipping.

        A norm that is not finite leaves weights and state as they were.
        """
        for role, named in self._masters.items():
            for name, gradient in self.gradients(role).items():
                named[name].grad = gradient
        norms = {role: self._clip(role) for role in self._masters}
        if all(math.isfinite(norm) for norm in norms.values()):
            factor = schedule_factor(
                self._settings.schedule,
                self.steps,
                total_steps=self._settings.total_steps,
                warmup_steps=self._settings.warmup_steps,
            )
            for group in self._adam.param_groups:
                group["lr"] = group["peak"] * factor
            self._adam.step()
            self._publish()
            self.steps += 1
        self.clear()
        return norms

    def gradients(self, role: str) -> dict[str, Tensor]:
        """What was added up since the last step, by name; nothing of what had no gradient."""
        named = self._masters[role]
        return {name: self._sums[m] for name, m in named.items() if m in self._added}

    def clear(self) -> None:
        """Forget the gradients added up so far."""
        self._adam.zero_grad(set_to_none=True)
        self._added.clear()

    def learning_rate(self, role: str) -> float:
        return next(g["lr"] for g in self._adam.param_groups if g["role"] == role)

    def tensors(self) -> dict[str, Tensor]:
        """Masters and moments by name, as a checkpoint stores them."""
        found: dict[str, Tensor] = {}
        for name, master in self._named_masters():
            found[f"master/{name}"] = master.detach()
            for key, value in self._adam.state.get(master, {}).items():
                found[f"{key}/{name}"] = value
        return found

    def load_tensors(self, tensors: Mapping[str, Tensor], steps: int) -> None:
        """Take up what ``tensors`` gave.

        Raises:
            ValueError: they are those of another model.
        """
        found = {n: t.shape for n, t in tensors.items() if n.startswith("master/")}
        if found != {f"master/{name}": master.shape for name, master in self._named_masters()}:
            raise ValueError("its weights are those of another model")
        self.steps = steps
        for name, master in self._named_masters():
            with torch.no_grad():
                master.copy_(tensors[f"master/{name}"])
            state = {
                key: tensors[f"{key}/{name}"].clone()
                for key in ("step", "exp_avg", "exp_avg_sq")
                if f"{key}/{name}" in tensors
            }
            if state:
                self._adam.state[master] = state
        self._publish()

    def _groups(self, role: str) -> list[dict]:
        masters = list(self._masters[role].values())
        rate = self._settings.learning_rates[role]
        decayed = [m for m in masters if m.ndim >= 2]
        others = [m for m in masters if m.ndim < 2]
        decay = self._settings.weight_decay
        return [
            {"params": params, "lr": rate, "peak": rate, "weight_decay": wd, "role": role}
            for params, wd in ((decayed, decay), (others, 0.0))
            if params
        ]

    def _clip(self, role: str) -> float:
        masters = list(self._masters[role].values())
        return float(nn.utils.clip_grad_norm_(masters, self._settings.max_grad_norm))

    def _publish(self) -> None:
        with torch.no_grad():
            for parameter, master in self._pairs():
                if parameter is not master:
                    parameter.copy_(master)

    def _pairs(self) -> list[tuple[nn.Parameter, nn.Parameter]]:
        return [
            (parameter, self._masters[role][name])
            for role, named in self._parameters.items()
            for name, parameter in named.items()
        ]

    def _named_masters(self) -> list[tuple[str, nn.Parameter]]:
        return [(f"{r}/{n}", m) for r, named in self._masters.items() for n, m in named.items()]


def _master(parameter: nn.Parameter) -> nn.Parameter:
    if parameter.dtype == torch.float32:
        return parameter
    return nn.Parameter(parameter.detach().float())
