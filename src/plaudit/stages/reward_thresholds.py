"""What a reward model's losses hold beside scores, learned with them: the thresholds between the
levels of a rating, and how likely a tie is.

They are one more role, ``thresholds``, so that the optimiser steps them and checkpoints carry them
as they do weights. Shapes: C levels of a rating.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from plaudit.models import Roles, TreeBatch
from plaudit.models.layout import Layout
from plaudit.objectives import RewardModelling

THRESHOLDS = "thresholds"
LEAST_GAP = 1e-4
"""Between two thresholds: a level that nobody gave keeps a probability float32 can tell from 0."""


class WithThresholds:
    """A reward model's roles and, learned beside them, what its losses hold.

    Of ``thresholds.ratings`` [C - 1] the first is a number of its own, and each further one stands
    ``LEAST_GAP + e^g`` above the last, so that they rise whatever is learned. ``thresholds.ties``
    [] is learned as it is.

    Args:
        objective: which of the two it learns, and where they begin.
    """

    def __init__(self, roles: Roles, objective: RewardModelling) -> None:
        self._roles = roles
        self.layout: Layout = roles.layout
        self.device = roles.device
        self.trained = (*roles.trained, THRESHOLDS)
        begin: dict[str, Tensor] = {}
        if "thresholds.ratings" in objective.learned:
            thresholds = torch.tensor(objective.thresholds)
            gap = (thresholds.diff() - LEAST_GAP).clamp(min=LEAST_GAP)
            begin |= {"first": thresholds[:1], "log_gap": gap.log()}
        if "thresholds.ties" in objective.learned:
            begin["tie"] = torch.logit(torch.tensor(objective.tie_probability))
        self._numbers = {name: nn.Parameter(t.to(self.device)) for name, t in begin.items()}

    def outputs(
        self, batch: TreeBatch, names: Iterable[str], *, temperature: float
    ) -> dict[str, Tensor]:
        wanted, values = list(names), self.values()
        own = {name: values[name] for name in wanted if name in values}
        others = [name for name in wanted if name not in own]
        return self._roles.outputs(batch, others, temperature=temperature) | own

    def values(self) -> dict[str, Tensor]:
        """The quantities of its own, by name."""
        found: dict[str, Tensor] = {}
        if "first" in self._numbers:
            first, gap = self._numbers["first"], LEAST_GAP + self._numbers["log_gap"].exp()
            found["thresholds.ratings"] = torch.cat([first, first + gap.cumsum(0)])
        if "tie" in self._numbers:
            found["thresholds.ties"] = self._numbers["tie"]
        return found

    def model(self, role: str) -> PreTrainedModel:
        return self._roles.model(role)

    def backbones(self) -> list[PreTrainedModel]:
        return self._roles.backbones()

    def parameters(self, role: str) -> dict[str, nn.Parameter]:
        return self._numbers if role == THRESHOLDS else self._roles.parameters(role)

    def save(self, role: str, tokenizer: PreTrainedTokenizerBase, path: Path) -> None:
        self._roles.save(role, tokenizer, path)


def learned_roles(roles: Roles, objective: RewardModelling) -> Roles:
    """The roles, with thresholds among them where the objective learns any."""
    return WithThresholds(roles, objective) if objective.learned else roles


def settled(objective: RewardModelling, roles: Roles) -> RewardModelling:
    """The objective with what was learned in place of what it began with."""
    values: Mapping[str, Tensor] = roles.values() if isinstance(roles, WithThresholds) else {}
    found: dict[str, tuple[float, ...] | float] = {}
    if (ratings := values.get("thresholds.ratings")) is not None:
        found["thresholds"] = tuple(ratings.tolist())
    if (ties := values.get("thresholds.ties")) is not None:
        found["tie_probability"] = float(ties.detach().sigmoid())
    return replace(objective, learned=(), **found)
