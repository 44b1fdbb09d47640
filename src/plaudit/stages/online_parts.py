"""The models of an online run, who plays against whom, and what is minimised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from plaudit.learning import Objective
from plaudit.models import AdapterRoles, Roles, SeparateRoles, load_language_model
from plaudit.objectives import (
    ExploratoryPreference,
    NashMirrorDescent,
    PreferenceOptimisation,
)
from plaudit.records import Prompt, Rollout
from plaudit.sampling import LocalSampler, MixtureSampler, SamplingParams
from plaudit.stages.online_options import BETA, OnlineConfig
from plaudit.text import Renderer

XPO_ALPHA = 1e-5
MIXTURE_SHARE = 0.5


def open_roles(config: OnlineConfig) -> Roles:
    """The policy, and the reference: the model as it begins, or the policy's adapters off."""
    said = config.model_dump(include={"precision", "device", "trust_remote_code"})
    policy = load_language_model(config.model, **said)
    if config.lora_r:
        return AdapterRoles(
            policy, ["policy"], r=config.lora_r, alpha=config.lora_alpha, seed=config.seed
        )
    reference = load_language_model(config.model, **said)
    return SeparateRoles({"policy": policy, "reference": reference}, trained=["policy"])


def objective_of(config: OnlineConfig) -> Objective:
    if config.algorithm == "nash_md":
        return NashMirrorDescent(beta=config.beta or BETA)
    preference = PreferenceOptimisation(terms=config.terms)
    if config.algorithm == "dpo":
        return preference
    alpha = XPO_ALPHA if config.xpo_alpha is None else config.xpo_alpha
    return ExploratoryPreference(preference=preference, alpha=alpha)


@dataclass(frozen=True, kw_only=True)
class Players:
    """The policy's sampler, and its opponent's where it has one."""

    policy: LocalSampler
    opponent: LocalSampler | MixtureSampler | None

    @classmethod
    def open(cls, config: OnlineConfig, roles: Roles, renderer: Renderer) -> Players:
        slots = config.sampling_slots
        policy = LocalSampler(roles.model("policy"), renderer, slots=slots)
        if config.algorithm == "dpo":
            return cls(policy=policy, opponent=None)
        reference = roles.model("reference")
        if config.algorithm == "xpo":
            return cls(policy=policy, opponent=LocalSampler(reference, renderer, slots=slots))
        share = MIXTURE_SHARE if config.mixture_share is None else config.mixture_share
        mixture = MixtureSampler(
            roles.model("policy"), reference, renderer, share=share, slots=slots
        )
        return cls(policy=policy, opponent=mixture)

    @property
    def opponents(self) -> tuple[int, ...]:
        """The index of each of a prompt's responses that the opponent writes."""
        return () if self.opponent is None else (1,)

    def load(self, weights: Mapping[str, Tensor], version: int) -> None:
        """The policy's new weights; a mixture holds the policy itself."""
        self.policy.load(weights, version)

    def sample(self, prompts: Sequence[Prompt], n: int, params: SamplingParams) -> list[Rollout]:
        """``n`` responses a prompt; against an opponent one of each, the policy's first."""
        if self.opponent is None:
            return self.policy.sample(prompts, n, params)
        own = self.policy.sample(prompts, 1, params)
        # Another seed: with the same, equal policies would write the same response.
        others = self.opponent.sample(prompts, 1, replace(params, seed=~params.seed))
        pairs = zip(own, others, strict=True)
        return [r for mine, other in pairs for r in (mine, replace(other, index=1))]
