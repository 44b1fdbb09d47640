"""``reward.json``: what a reward model's raw numbers mean, written when it was trained.

``{"mean", "std"}`` of its scores on reference responses; with several heads ``{"heads": {name:
{"mean", "std", "weight"}}}``; where it judges by stated rules also ``{"rules": ["...", ...]}``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

REFERENCE_FILE = "reward.json"


@dataclass(frozen=True, kw_only=True)
class Head:
    """One number a reward model gives."""

    mean: float = 0.0
    std: float = 1.0
    weight: float = 1.0
    """Its share of the score."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Of all heads, in the model's order."""

    heads: Mapping[str, Head]
    rules: tuple[str, ...] = ()
    """If any, a score is the mean probability that they are kept."""

    def raw(self) -> Reference:
        """The same without standardisation."""
        heads = {name: Head(weight=head.weight) for name, head in self.heads.items()}
        return Reference(heads=heads, rules=self.rules)


def read_reference(path: Path, *, needed: bool) -> Reference:
    """The reference beside a model's weights; without one, and none needed, one plain head.

    Raises:
        ValueError: the file is missing though needed, or damaged.
    """
    file = path / REFERENCE_FILE
    if not file.is_file():
        if needed:
            raise ValueError(f"{file}: missing, so scores cannot be standardised by a reference")
        return Reference(heads={"reward_model": Head()})
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        heads = found.get("heads") or {"reward_model": found}
        return Reference(
            heads={name: _head(head) for name, head in heads.items()},
            rules=tuple(map(str, found.get("rules", []))),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{file}: expected mean and std as JSON ({error})") from error


def _head(found: Mapping[str, float]) -> Head:
    weight = float(found.get("weight", 1.0))
    return Head(mean=float(found["mean"]), std=float(found["std"]), weight=weight)
