"""The table of preference losses: each by its name, with its authors' settings.

A setting's name is the option's; what a paper's own setting is called stands in the function's
docstring. ``beta`` is not one scale: it multiplies sums over tokens in ``dpo``, means in
``dpo_norm`` and ``simpo``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Literal

from torch import Tensor

from plaudit.objectives import preference_free as free
from plaudit.objectives import preference_inputs as inputs
from plaudit.objectives import preference_pairs as pair
from plaudit.objectives import preference_responses as response


@dataclass(frozen=True, slots=True)
class PreferenceLoss:
    """A row of the table."""

    loss: Callable[..., Tensor]
    """Takes ``Pairs``, ``Rated`` or a ranking, what ``reads`` finds, and the settings by name."""
    published: Mapping[str, float] = field(default_factory=dict)
    """Options it reads, with their authors' values."""
    _: KW_ONLY
    unit: Literal["pair", "response", "ranking"] = "pair"
    labels: Literal["smoothed", "debiased", "unread", "hard"] = "smoothed"
    """Soft labels of pairs: smoothed by ``label_smoothing``, or freed of it; not read; refused."""
    reference: bool = True
    reward: Literal["log_ratio", "logprob"] = "log_ratio"
    """What accuracy and margin compare, times ``beta``."""
    per_token: bool = False
    """Whether the reward is a mean over tokens."""
    reads: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    """Further arguments by name, and how each is found in quantities and labels."""
    needs: tuple[str, ...] = ()
    """Quantities asked of the learner beside the policy's log-probabilities."""
    update_labels: tuple[str, ...] = ()
    """Labels that are a function of the whole update, found before it is cut."""

    @property
    def settings(self) -> dict[str, float]:
        """Every option it reads, with its default."""
        smoothed = self.unit == "pair" and self.labels in ("smoothed", "debiased")
        return {**({"label_smoothing": 0.0} if smoothed else {}), **self.published}


_FREE: dict[str, Any] = {"reference": False, "reward": "logprob"}

PREFERENCE_LOSSES: Mapping[str, PreferenceLoss] = {
    "dpo": PreferenceLoss(pair.dpo, {"beta": 0.1}),
    "cdpo": PreferenceLoss(pair.dpo, {"beta": 0.1, "label_smoothing": 0.1}),
    "robust": PreferenceLoss(pair.dpo, {"beta": 0.1, "label_smoothing": 0.1}, labels="debiased"),
    "ipo": PreferenceLoss(pair.ipo, {"beta": 0.1}),
    "ipo_mean": PreferenceLoss(pair.ipo_mean, {"beta": 0.1}, per_token=True),
    "hinge": PreferenceLoss(pair.hinge, {"beta": 0.05}),
    "dpo_norm": PreferenceLoss(pair.dpo_norm, {"beta": 5.0}, per_token=True),
    "r_dpo": PreferenceLoss(pair.r_dpo, {"beta": 0.1, "rdpo_alpha": 0.01}),
    "ld_dpo": PreferenceLoss(
        pair.ld_dpo, {"beta": 0.1, "ld_alpha": 0.5}, reads={"shared": inputs.shared_log_ratio}
    ),
    "odpo": PreferenceLoss(pair.odpo, {"beta": 0.1, "odpo_alpha": 1.0}),
    "nca": PreferenceLoss(pair.nca, {"beta": 0.01}),
    "bco_pair": PreferenceLoss(
        pair.bco_pair,
        {"beta": 0.01},
        reads={"mean_Q": inputs.bco_mean_Q},
        update_labels=("bco_mean",),
    ),
    "dpop": PreferenceLoss(pair.dpop, {"beta": 0.3, "dpop_lambda": 50.0}, labels="hard"),
    "tdpo": PreferenceLoss(
        pair.tdpo,
        {"beta": 0.1, "tdpo_alpha": 0.5},
        labels="hard",
        reads={"sequence_kl": inputs.sequence_kl},
        needs=("policy.reference_kl",),
    ),
    "wpo": PreferenceLoss(
        pair.wpo,
        {"beta": 0.01},
        reads={"log_confidence": inputs.log_confidence},
        needs=("policy.log_collision",),
    ),
    "apo_zero": PreferenceLoss(pair.apo_zero, {"beta": 0.1}, labels="hard"),
    "apo_down": PreferenceLoss(pair.apo_down, {"beta": 0.1}, labels="hard"),
    "sppo": PreferenceLoss(pair.sppo, {"beta": 0.001}),
    "exo": PreferenceLoss(pair.exo, {"beta": 0.1, "label_smoothing": 1e-3}),
    "aot": PreferenceLoss(
        pair.aot,
        {"beta": 0.1},
        labels="hard",
        reads={"sorted_reference_Q": inputs.sorted_reference_Q},
        update_labels=("sorted_reference",),
    ),
    "aot_unpaired": PreferenceLoss(
        pair.aot_unpaired,
        {"beta": 0.1},
        labels="hard",
        reads={"matched": inputs.matched_sides},
        update_labels=("matched_chosen", "matched_rejected"),
    ),
    "f_dpo_forward_kl": PreferenceLoss(pair.f_dpo_forward_kl, {"beta": 0.1}),
    "f_dpo_js": PreferenceLoss(pair.f_dpo_js, {"beta": 0.1}),
    "f_dpo_alpha": PreferenceLoss(pair.f_dpo_alpha, {"beta": 0.1, "f_alpha": 0.5}),
    "discopop": PreferenceLoss(pair.discopop, {"beta": 0.1, "discopop_tau": 0.05}),
    "orpo": PreferenceLoss(free.orpo, {"orpo_lambda": 0.1}, per_token=True, **_FREE),
    "simpo": PreferenceLoss(free.simpo, {"beta": 2.0, "simpo_gamma": 1.0}, per_token=True, **_FREE),
    "cpo": PreferenceLoss(free.cpo, {"beta": 0.1, "cpo_alpha": 1.0}, **_FREE),
    "slic": PreferenceLoss(free.slic, {"slic_delta": 1.0}, **_FREE),
    "nll": PreferenceLoss(free.nll, labels="unread", per_token=True, **_FREE),
    "kto": PreferenceLoss(
        response.kto,
        {"beta": 0.1, "desirable_weight": 1.0, "undesirable_weight": 1.0},
        unit="response",
        reads={"z0_M": inputs.kto_z0_M},
        update_labels=("kto_z0",),
    ),
    "bco": PreferenceLoss(
        response.bco,
        {"beta": 0.01},
        unit="response",
        reads={"mean_M": inputs.bco_mean_M},
        update_labels=("bco_mean",),
    ),
    "plackett_luce": PreferenceLoss(
        response.plackett_luce, {"beta": 0.1}, unit="ranking", labels="hard"
    ),
}
"""By the names of ``plaudit preference loss=NAME``."""
