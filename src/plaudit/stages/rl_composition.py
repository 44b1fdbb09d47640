"""From what every source says of a step's responses to one reward each.

Shapes: N responses of a step, R rewards of each, M reference responses of a prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from plaudit.config import nearest
from plaudit.learning.moments import RunningMoments
from plaudit.learning.multipliers import Multiplier
from plaudit.objectives import (
    decoupled_advantages,
    gated,
    lagrangian,
    mean_minus_variance,
    min_max,
    preference_as_reward,
    weighted_sum,
    whiten,
    worst_of,
)
from plaudit.records import Invalid, Prompt, Rollout
from plaudit.scoring import Parts
from plaudit.stages.rl_combine import CombineOptions
from plaudit.stages.rl_rewards import SourceOptions

References = Mapping[str, Mapping[str, Sequence[float]]]
"""By source and prompt: what the source says of the reference policy's own responses."""


def safety_asked(column: str | None, prompt: Prompt) -> bool:
    """Whether the prompt's row says that safety decides; a row without the column does not.

    Raises:
        ValueError: the column holds neither true nor false.
    """
    found = prompt.columns.get(column, False) if column else False
    if not isinstance(found, int):
        raise ValueError(
            f"{prompt.id}: column {column!r} holds {found!r}; combine.safety_column expects true "
            "or false, which CSV has no way to say: give JSON Lines"
        )
    return bool(found)


def check_columns(combine: CombineOptions, prompts: Sequence[Prompt]) -> None:
    """Raise unless some prompt has the column that says when safety decides.

    Raises:
        ValueError: none has, or one holds neither true nor false.
    """
    column = combine.safety_column
    if column and not any(column in prompt.columns for prompt in prompts):
        known = sorted({name for prompt in prompts for name in prompt.columns})
        others = nearest(column, known) if known else ""
        raise ValueError(f"combine.safety_column: no prompt has a column {column!r}{others}")
    for prompt in prompts:
        safety_asked(column, prompt)


@dataclass(frozen=True, kw_only=True)
class Composition:
    """How rewards are scaled and combined, and what that remembers from step to step."""

    sources: Mapping[str, SourceOptions]
    combine: CombineOptions
    moments: Mapping[str, RunningMoments]
    multipliers: Mapping[str, Multiplier]
    references: References = field(default_factory=dict)

    @classmethod
    def resume(
        cls,
        sources: Mapping[str, SourceOptions],
        combine: CombineOptions,
        saved: Mapping[str, Any],
        references: References,
    ) -> Composition:
        """As a checkpoint left it, or as the options say it begins."""
        moments, multipliers = saved.get("moments", {}), saved.get("multipliers", {})
        first = Multiplier.of(combine.multiplier)
        return cls(
            sources=sources,
            combine=combine,
            moments={name: RunningMoments(**moments.get(name, {})) for name in sources},
            multipliers={
                name: Multiplier(**multipliers[name]) if name in multipliers else first
                for name in combine.limits
            },
            references=references,
        )

    def as_dict(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {
            "moments": {name: moments.as_dict() for name, moments in self.moments.items()},
            "multipliers": {name: found.as_dict() for name, found in self.multipliers.items()},
        }

    def metrics(self) -> dict[str, float]:
        """The multipliers, and the moving averages of the costs they follow."""
        found: dict[str, float] = {}
        for name, multiplier in self.multipliers.items():
            found |= {f"multiplier/{name}": multiplier.value, f"cost/{name}": multiplier.cost}
        return found

    def comparable(self, rollout: Rollout, parts: Parts | Invalid) -> Parts | Invalid:
        """The parts, or Invalid where the prompt has no reference response to compare with."""
        if isinstance(parts, Invalid):
            return parts
        for name, source in self.sources.items():
            if source.normalisation == "par" and not self._reference(name, rollout):
                return Invalid(reason=f"{name}: no response of the reference has a score")
        return parts

    def rewards(
        self, rollouts: Sequence[Rollout], parts: Sequence[Parts], *, begins_step: bool = True
    ) -> tuple[list[float], Composition]:
        """The reward of each response, and the composition once it has seen them.

        Args:
            begins_step: the responses are the first of their step; multipliers move by those
                alone, so that they move once a step and all its rewards are under the same.
        """
        if not parts:
            return [], self
        raw = {
            name: torch.tensor([self._raw(name, part) for part in parts], dtype=torch.float64)
            for name in self.sources
        }
        after = self._having_seen(raw)
        if not begins_step:
            after = replace(after, multipliers=self.multipliers)
        scaled = {name: after._scaled(name, raw_N, rollouts) for name, raw_N in raw.items()}
        return after._combined(scaled, rollouts).tolist(), after

    def steps(self, parts: Parts) -> tuple[tuple[int, float], ...]:
        """Where steps are rewarded, and how much of the response's reward each step is.

        A step's share is one over their number, so that more steps are not more reward.
        """
        return tuple(
            (place, source.weight * reward / len(parts[name].steps))
            for name, source in self.sources.items()
            if source.at_steps
            for place, reward in parts[name].steps
        )

    def _raw(self, name: str, part: Parts) -> float:
        """What a source says of a response: the mean of its steps where those are rewarded.

        Raises:
            ValueError: it judges no steps.
        """
        score = part[name]
        if not self.sources[name].at_steps:
            return score.value
        if not score.steps:
            raise ValueError(
                f"rewards.{name}: at_steps needs a process reward model (plaudit process) that "
                "reads the policy's own tokens"
            )
        return sum(reward for _, reward in score.steps) / len(score.steps)

    def _having_seen(self, raw: Mapping[str, Tensor]) -> Composition:
        aim = self.combine
        return replace(
            self,
            moments={
                name: moments.with_values(raw[name].tolist())
                for name, moments in self.moments.items()
            },
            multipliers={
                name: multiplier.having_seen(
                    float(raw[name].mean()),
                    limit=aim.limits[name],
                    decay=aim.cost_decay,
                    learning_rate=aim.multiplier_rate,
                    most=aim.multiplier_max,
                )
                for name, multiplier in self.multipliers.items()
            },
        )

    def _scaled(self, name: str, raw_N: Tensor, rollouts: Sequence[Rollout]) -> Tensor:
        """Normalised, then clipped."""
        source, moments = self.sources[name], self.moments[name]
        scaled_N = raw_N
        if source.normalisation == "running":
            scaled_N = (raw_N - moments.mean) / moments.std
        elif source.normalisation == "min_max":
            scaled_N = min_max(raw_N, low=moments.low, high=moments.high)
        elif source.normalisation == "sigmoid":
            scaled_N = torch.sigmoid(raw_N)
        elif source.normalisation == "par":
            reference_NM = [torch.tensor(self._reference(name, r)).double() for r in rollouts]
            scaled_N = preference_as_reward(raw_N, reference_NM)
        return scaled_N if source.clip is None else scaled_N.clamp(-source.clip, source.clip)

    def _combined(self, scaled: Mapping[str, Tensor], rollouts: Sequence[Rollout]) -> Tensor:
        rewards_RN, combine = list(scaled.values()), self.combine
        weights_R = [source.weight for source in self.sources.values()]
        match combine.method:
            case "sum":
                return weighted_sum(rewards_RN, weights_R)
            case "worst":
                return worst_of(rewards_RN)
            case "mean_minus_variance":
                return mean_minus_variance(rewards_RN, combine.variance_coefficient)
            case "gdpo":
                groups = [len(list(same)) for _, same in groupby(rollouts, lambda r: id(r.prompt))]
                return decoupled_advantages(rewards_RN, weights_R, groups)
            case "gated":
                return self._gated(scaled, rollouts)
            case "constrained":
                costs = [self.sources[name].weight * scaled[name] for name in self.multipliers]
                lam = [multiplier.value for multiplier in self.multipliers.values()]
                return lagrangian(self._summed_but(scaled, self.multipliers), costs, lam)

    def _gated(self, scaled: Mapping[str, Tensor], rollouts: Sequence[Rollout]) -> Tensor:
        combine = self.combine
        assert combine.safety is not None, "the config's validator asks for one"
        safety_N, helpful_N = scaled[combine.safety], self._summed_but(scaled, {combine.safety})
        for name, value_N in ((combine.safety, safety_N), ("the others", helpful_N)):
            if bool(((value_N < 0) | (value_N > 1)).any()):
                wrong = float(value_N[(value_N < 0) | (value_N > 1)][0])
                raise ValueError(
                    f"rewards: {name} came to {wrong:.3g}, but gated needs probabilities; say "
                    "normalisation: sigmoid for scores of a reward model, and weights that sum to 1"
                )
        asked = [safety_asked(combine.safety_column, rollout.prompt) for rollout in rollouts]
        reward_N = gated(safety_N, helpful_N, torch.tensor(asked), threshold=combine.threshold)
        return whiten(reward_N) if combine.whiten else reward_N

    def _summed_but(self, scaled: Mapping[str, Tensor], left_out: Mapping | set) -> Tensor:
        names = [name for name in scaled if name not in left_out]
        return weighted_sum([scaled[n] for n in names], [self.sources[n].weight for n in names])

    def _reference(self, name: str, rollout: Rollout) -> Sequence[float]:
        """Rewards of the reference policy's responses to the rollout's prompt."""
        column, prompt = self.sources[name].reference_column, rollout.prompt
        if column is None:
            return self.references[name].get(prompt.id, ())
        found = prompt.columns.get(column)
        values = found if isinstance(found, list) else [found]
        if not all(isinstance(v, float | int) and not isinstance(v, bool) for v in values):
            raise ValueError(
                f"{prompt.id}: column {column!r} holds {found!r}; rewards.{name} expects the "
                "reward of a reference response, or a list of them"
            )
        return [float(v) for v in values if isinstance(v, float | int)]
