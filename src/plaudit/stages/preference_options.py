"""Options of the preference stage."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Annotated

from pydantic import Field, model_validator

from plaudit.config import Config, nearest
from plaudit.formats import WHOLE, Portion
from plaudit.objectives import PREFERENCE_LOSSES, PreferenceLoss, PreferenceTerm
from plaudit.stages.options import (
    AdapterOptions,
    Count,
    ModelOptions,
    NonNegative,
    Positive,
    Share,
    TrainingOptions,
)


class LossOptions(Config):
    """Which loss, and its settings; what is not said is as the loss's authors have it."""

    loss: str | dict[str, Positive] = "dpo"
    """A name of the table (docs/stages/preference.md), package.module:name for one of your own, or
    several with weights, such as {dpo: 1, nll: 0.2}."""
    beta: Positive | None = None
    """How firmly the policy is held to the reference; each loss has its own scale and default."""
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] | None = None
    """Probability that a label is wrong (conservative DPO)."""
    rpo_alpha: NonNegative = 0.0
    """Weight of the better response's negative log-likelihood, per token."""
    rdpo_alpha: NonNegative | None = None
    """r_dpo: what the reward loses a token."""
    ld_alpha: Share | None = None
    """ld_dpo: weight of the tokens beyond the shorter response's length."""
    odpo_alpha: NonNegative | None = None
    """odpo: the offset, per unit of the data's margin."""
    dpop_lambda: NonNegative | None = None
    """dpop: weight of the better response's fall below the reference."""
    tdpo_alpha: NonNegative | None = None
    """tdpo: weight of the difference in KL to the reference."""
    f_alpha: Positive | None = None
    """f_dpo_alpha: which divergence; 1 is forward KL, near 0 reverse KL (1 - TRL's coefficient)."""
    discopop_tau: Positive | None = None
    """discopop: temperature of the blend between logistic and exponential."""
    orpo_lambda: NonNegative | None = None
    """orpo: weight of the odds ratio beside the likelihood."""
    simpo_gamma: NonNegative | None = None
    """simpo: the margin to reach, in the reward's unit."""
    cpo_alpha: NonNegative | None = None
    """cpo: weight of the better response's negative log-likelihood, summed over tokens."""
    slic_delta: NonNegative | None = None
    """slic: the margin to reach, in nats."""
    desirable_weight: NonNegative | None = None
    """kto: weight of good responses."""
    undesirable_weight: NonNegative | None = None
    """kto: weight of bad responses."""

    @property
    def terms(self) -> tuple[PreferenceTerm, ...]:
        """The losses with weights and settings; an option goes to every loss that reads it."""
        losses = {self.loss: 1.0} if isinstance(self.loss, str) else dict(self.loss)
        if self.rpo_alpha:
            losses["nll"] = self.rpo_alpha
        rows = {name: find_loss(name) for name in losses}
        return tuple(
            PreferenceTerm(
                name=name,
                row=row,
                coefficient=losses[name],
                settings={k: v for k, v in self._said().items() if k in row.settings},
            )
            for name, row in rows.items()
        )

    def _said(self) -> dict[str, float]:
        """The settings given, by name."""
        fields = LossOptions.model_fields.keys() - {"loss", "rpo_alpha"}
        values = {name: getattr(self, name) for name in sorted(fields)}
        return {name: value for name, value in values.items() if value is not None}

    @model_validator(mode="after")
    def _refuse_settings_that_are_not_read(self) -> LossOptions:
        if not self.loss:
            raise ValueError("loss: expected at least one")
        if self.rpo_alpha and "nll" in ([self.loss] if isinstance(self.loss, str) else self.loss):
            raise ValueError("rpo_alpha: nll is among the losses already; give its weight there")
        read = {name for term in self.terms for name in term.row.settings}
        for name in self._said():
            if name not in read:
                named = self.loss if isinstance(self.loss, str) else ", ".join(self.loss)
                reads = ", ".join(sorted(read)) or "no setting"
                raise ValueError(f"{name}: {named} does not read it; it reads {reads}")
        if any(t.name == "exo" and not t.resolved["label_smoothing"] for t in self.terms):
            raise ValueError("label_smoothing: exo is infinite without; expected more than 0")
        return self


class MovingReferenceOptions(Config):
    """Let the reference follow the policy (Gorbatovski et al. 2024, TR-DPO)."""

    ref_model_mixup_alpha: Annotated[float, Field(gt=0, le=1)] = 0.6
    """Share of the policy in the new reference; 1 replaces it."""
    ref_model_sync_steps: Count = 512
    """Optimiser steps between two references."""


class PreferenceConfig(LossOptions, ModelOptions, AdapterOptions, TrainingOptions):
    """Options of ``plaudit preference``."""

    dataset: str
    """Preferences, or ratings: a file, a pattern, a shipped name, or a hub's org/name."""
    portion: Portion = WHOLE
    """The conversations to learn from, as a part of [0, 1]."""
    learning_rate: Positive = 1e-6
    batch_size: Count = 32
    max_length: Count = 1024
    """Tokens of prompt and longest response together; longer prompts are left out and counted."""
    reference_cache: str | None = None
    """A directory that keeps the reference's log-probabilities for other runs."""
    moving_reference: MovingReferenceOptions | None = None
    """Let the reference follow the policy; else it is the model as it begins."""

    @model_validator(mode="after")
    def _refuse_what_does_not_apply(self) -> PreferenceConfig:
        named = [name for name in ("reference_cache", "moving_reference") if getattr(self, name)]
        if named and not any(term.row.reference for term in self.terms):
            raise ValueError(f"{named[0]}: {self.loss} has no reference")
        if len(named) == 2:
            raise ValueError("reference_cache: a moving reference is not kept; choose one")
        if self.moving_reference and self.lora_r:
            raise ValueError("moving_reference: needs all weights trained; expected lora_r=0")
        return self


_TRL_NAMES = {
    "sigmoid": "dpo",
    "sigmoid_norm": "dpo_norm",
    "exo_pair": "exo",
    "nca_pair": "nca",
    "sppo_hard": "sppo",
    "sft": "nll",
}


def find_loss(name: str) -> PreferenceLoss:
    """A row of the table, or the user's own: ``package.module:name``, installed or in the
    working directory.

    Raises:
        ValueError: there is none.
    """
    module, separator, attribute = name.partition(":")
    if not separator:
        if name in _TRL_NAMES:
            raise ValueError(f"loss: TRL's {name} is called {_TRL_NAMES[name]} here")
        if name not in PREFERENCE_LOSSES:
            raise ValueError(f"loss: {name} is not known{nearest(name, PREFERENCE_LOSSES)}")
        return PREFERENCE_LOSSES[name]
    # The plaudit command, unlike python, does not look in the working directory.
    if (here := os.getcwd()) not in sys.path:
        sys.path.append(here)
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"loss: {name} cannot be imported ({error})") from error
    if not isinstance(found, PreferenceLoss):
        raise ValueError(f"loss: {name} is a {type(found).__name__}; expected a PreferenceLoss")
    return found
