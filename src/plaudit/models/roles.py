"""Roles: policy, reference, critic and reward, on separate weights or on one backbone.

A learner asks for quantities by name, ``policy.logprobs`` or ``critic.values``; which weights
answer is settled here. Both kinds give equal answers for equal weights.

Shapes: N policy tokens, M branches, H heads, R positions that are read, D hidden size.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from plaudit.models.distributions import log_collisions, policy_kls, reference_kls
from plaudit.models.forward import hidden_states, layout_of, token_logprobs
from plaudit.models.layout import Layout, TreeBatch, common_layout
from plaudit.models.loading import save_model, scalar_head

WITH_REFERENCE = {"kl": policy_kls, "reference_kl": reference_kls}
"""Quantities of a role and the reference, which is asked for its hidden states too."""
_LANGUAGE = ("logprobs", "entropy", "log_collision", *WITH_REFERENCE)
_AT_BRANCHES = ("scores", "head_scores")
_SCALAR = ("values", "step_scores", *_AT_BRANCHES)


class Roles(Protocol):
    """The models of a run, by role."""

    @property
    def layout(self) -> Layout:
        """How trees are laid out for all of them."""
        ...

    @property
    def device(self) -> torch.device:
        """Where all of them compute."""
        ...

    @property
    def trained(self) -> tuple[str, ...]:
        """The roles whose weights are learned."""
        ...

    def outputs(
        self, batch: TreeBatch, names: Iterable[str], *, temperature: float
    ) -> dict[str, Tensor]:
        """The named quantities: ``policy.logprobs`` [N], ``policy.entropy`` [N], ``policy.kl`` [N]
        (of the policy from the reference, over the vocabulary), ``policy.reference_kl`` [N] (of the
        reference from the policy), ``policy.log_collision`` [N] (log sum_v pi(v)^2),
        ``critic.values`` [N], ``reward.scores`` [M], ``reward.head_scores`` [M, H] and
        ``reward.step_scores`` [N]."""
        ...

    def model(self, role: str) -> PreTrainedModel:
        """The model that answers for a role, to sample from or to look at."""
        ...

    def parameters(self, role: str) -> dict[str, nn.Parameter]:
        """What is learned of a role, by name."""
        ...

    def backbones(self) -> list[PreTrainedModel]:
        """The models that gradients pass through."""
        ...

    def save(self, role: str, tokenizer: PreTrainedTokenizerBase, path: Path) -> None:
        """Write a role as a plain Hugging Face checkpoint."""
        ...


class SeparateRoles:
    """One model a role.

    Args:
        models: causal language models and scalar models by role.
        trained: the roles whose weights are learned; all others are frozen.
    """

    def __init__(self, models: Mapping[str, PreTrainedModel], trained: Iterable[str]) -> None:
        self._models = dict(models)
        self.trained = tuple(trained)
        for role, model in self._models.items():
            model.requires_grad_(role in self.trained)
        self.layout: Layout = common_layout(layout_of(model) for model in self._models.values())
        devices = {model.device for model in self._models.values()}
        assert len(devices) == 1, f"one device for all roles, not {devices}"
        self.device = devices.pop()

    def outputs(
        self, batch: TreeBatch, names: Iterable[str], *, temperature: float = 1.0
    ) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for role, wanted in by_role(names).items():
            model = self._models[role]
            reference = self._reference(batch) if wanted & WITH_REFERENCE.keys() else None
            with torch.set_grad_enabled(torch.is_grad_enabled() and role in self.trained):
                if wanted <= set(_LANGUAGE):
                    states = language_states(model, batch)
                    found |= language_outputs(role, wanted, states, batch, temperature, reference)
                else:
                    found |= scalar_outputs(role, wanted, model, scalar_head(model), batch)
        return found

    @torch.no_grad()
    def _reference(self, batch: TreeBatch) -> States:
        return language_states(self._models["reference"], batch)

    def model(self, role: str) -> PreTrainedModel:
        return self._models[role]

    def parameters(self, role: str) -> dict[str, nn.Parameter]:
        return dict(self._models[role].named_parameters())

    def backbones(self) -> list[PreTrainedModel]:
        return [self._models[role] for role in self.trained]

    def save(self, role: str, tokenizer: PreTrainedTokenizerBase, path: Path) -> None:
        save_model(self._models[role], tokenizer, path)


def by_role(names: Iterable[str]) -> dict[str, set[str]]:
    """``["policy.logprobs", "policy.entropy"]`` as ``{"policy": {"logprobs", "entropy"}}``."""
    wanted: dict[str, set[str]] = {}
    for name in names:
        role, _, quantity = name.partition(".")
        assert quantity in _LANGUAGE + _SCALAR, f"no such quantity: {name}"
        wanted.setdefault(role, set()).add(quantity)
    return wanted


class States(NamedTuple):
    """A language model and its last hidden states where policy tokens are predicted."""

    model: PreTrainedModel
    hidden_ND: Tensor


def language_states(model: PreTrainedModel, batch: TreeBatch) -> States:
    return States(model, hidden_states(model, batch, batch.predict_N))


def language_outputs(
    role: str,
    wanted: set[str],
    states: States,
    batch: TreeBatch,
    temperature: float,
    reference: States | None,
) -> dict[str, Tensor]:
    """The language head at the positions that predict policy tokens, and nowhere else.

    Args:
        reference: for the quantities ``WITH_REFERENCE``.
    """
    model, hidden_ND = states
    logprob_N, entropy_N = token_logprobs(
        model, hidden_ND, batch.target_N,
        temperature=temperature, with_entropy="entropy" in wanted,
    )  # fmt: skip
    found = {"logprobs": logprob_N, "entropy": entropy_N}
    if "log_collision" in wanted:
        found["log_collision"] = log_collisions(model, hidden_ND, temperature=temperature)
    if reference is not None:
        found |= {
            name: kls(model, hidden_ND, *reference, temperature=temperature)
            for name, kls in WITH_REFERENCE.items()
            if name in wanted
        }
    return {f"{role}.{name}": found[name] for name in wanted}


def scalar_outputs(
    role: str, wanted: set[str], model: PreTrainedModel, head: nn.Linear, batch: TreeBatch
) -> dict[str, Tensor]:
    """A value judges the state before each token, a step's score the response up to and with it, a
    score the whole response at its last token."""
    places = {"values": batch.predict_N, "step_scores": batch.written_N}
    places |= dict.fromkeys(_AT_BRANCHES, batch.end_M)
    names = sorted(wanted)
    hidden_RD = hidden_states(model, batch, torch.cat([places[name] for name in names]))
    scored_RH = head(hidden_RD.to(head.weight.dtype)).float()
    found: dict[str, Tensor] = {}
    for name, scored in zip(names, scored_RH.split([len(places[n]) for n in names]), strict=True):
        assert name == "head_scores" or scored.shape[1] == 1, f"{role}.{name} of several heads"
        found[f"{role}.{name}"] = scored if name == "head_scores" else scored[:, 0]
    return found


def per_branch(name: str) -> bool:
    """Whether a quantity has an entry a branch, and not one a policy token."""
    return name.partition(".")[2] in _AT_BRANCHES
