"""Preference losses beside ``DPOTrainer``'s on random logits, where log-ratios are large.

Shapes: Q pairs, R responses (better ones first), T tokens of the longest, V words, N policy tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from plaudit.objectives import PreferenceOptimisation
from tests.labelled import batch_of
from tests.parity.test_preference_parity import SAME, VARIANTS, dpo_trainer, objective_of
from tests.tiny import VOCAB

pytest.importorskip("trl", reason="TRL is not installed: pip install -e '.[parity]'")
# TRL's and its libraries' notices to their own users.
pytestmark = pytest.mark.filterwarnings("ignore")

PAIRS, PROMPT = 5, 3
LENGTHS = [3, 6, 1, 8, 4, 6, 2, 7, 5, 1]
CASES = {**{name: ({"loss_type": name, **o}, terms) for name, (o, terms) in SAME.items()}}
CASES |= VARIANTS
STEEP = ("forward_kl", "alpha", "discopop")
"""Exponentials of log-ratios, which overflow on both sides where these are large."""


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    yield dpo_trainer(tmp_path_factory.mktemp("dpo"))


class Case:
    """Logits of policy and reference at every place, and the tokens that stand there."""

    def __init__(self, seed: int, spread: float) -> None:
        generator = torch.Generator().manual_seed(seed)
        size = (len(LENGTHS), PROMPT + max(LENGTHS), VOCAB)
        self.policy_RTV = (spread * torch.randn(size, generator=generator)).requires_grad_()
        self.reference_RTV = spread * torch.randn(size, generator=generator)
        self.ids_RT = torch.randint(3, VOCAB, size[:2], generator=generator)
        place_T = torch.arange(size[1])[None] - PROMPT
        self.mask_RT = (place_T >= 0) & (place_T < torch.tensor(LENGTHS)[:, None])

    def logprobs(self, logits_RTV: Tensor) -> Tensor:
        """[N] of the tokens the policy wrote, response after response."""
        return self._by_place(logits_RTV)[self.mask_RT[:, 1:]]

    def outputs(self, logits_RTV: Tensor) -> SimpleNamespace:
        """What TRL's fused head gives of these logits; what it only logs is 0."""
        written_RT = self.mask_RT[:, 1:]
        none_RT = torch.zeros(written_RT.shape)
        return SimpleNamespace(
            log_probs=torch.where(written_RT, self._by_place(logits_RTV), 0.0),
            entropy=none_RT,
            mean_logits=none_RT,
            is_top1=none_RT.bool(),
        )

    def _by_place(self, logits_RTV: Tensor) -> Tensor:
        log_RTV = logits_RTV[:, :-1].log_softmax(-1)
        return log_RTV.gather(-1, self.ids_RT[:, 1:, None])[..., 0]


def their_loss(trainer: Any, case: Case, options: dict[str, Any]) -> Tensor:
    """``DPOTrainer``'s own loss, told what a model of these logits would be."""
    types = options.get("loss_type", "sigmoid")
    trainer.loss_types = [types] if isinstance(types, str) else types
    trainer.loss_weights = options.get("loss_weights", [1.0])
    trainer.label_smoothing = options.get("label_smoothing", 0.0)
    trainer.ld_alpha = options.get("ld_alpha")
    trainer.f_divergence_type = options.get("f_divergence_type", "reverse_kl")
    trainer.f_alpha_divergence_coef = options.get("f_alpha_divergence_coef", 0.5)
    trainer.ref_model = lambda **_: case.outputs(case.reference_RTV)
    inputs = {
        "input_ids": case.ids_RT,
        "attention_mask": torch.ones_like(case.ids_RT),
        "completion_mask": case.mask_RT.long(),
    }
    return trainer._compute_loss(lambda **_: case.outputs(case.policy_RTV), inputs, False)


def our_loss(objective: PreferenceOptimisation, case: Case) -> Tensor:
    logprob_N = case.logprobs(case.policy_RTV)
    with torch.no_grad():
        reference_N = case.logprobs(case.reference_RTV)
    better_Q, worse_Q = by_side((logprob_N - reference_N).detach())
    pair = {
        "better": torch.arange(PAIRS),
        "worse": torch.arange(PAIRS, 2 * PAIRS),
        "probability": torch.ones(PAIRS),
        "weight": torch.full((PAIRS,), 1 / PAIRS),
        "sorted_reference": by_rank(margins(logprob_N.detach()), margins(reference_N)),
        "matched_chosen": by_rank(worse_Q, better_Q),
        "matched_rejected": by_rank(better_Q, worse_Q),
    }
    bco = {"bco_mean": torch.zeros(len(LENGTHS))}
    batch = batch_of(LENGTHS, token={"reference": reference_N}, branch=bco, pair=pair)
    return objective({"policy.logprobs": logprob_N}, batch)[0]


def by_side(logprob_N: Tensor) -> tuple[Tensor, Tensor]:
    """Sums of the better and of the worse responses: [Q] each."""
    sums = torch.stack([part.sum() for part in logprob_N.split(LENGTHS)])
    return sums[:PAIRS], sums[PAIRS:]


def margins(logprob_N: Tensor) -> Tensor:
    """[Q]."""
    better_Q, worse_Q = by_side(logprob_N)
    return better_Q - worse_Q


def by_rank(ranked_Q: Tensor, values_Q: Tensor) -> Tensor:
    """The values, sorted, each at the pair that has its rank in ``ranked_Q``."""
    return torch.empty(PAIRS).scatter(0, ranked_Q.argsort(), values_Q.sort().values)


@pytest.mark.parametrize(
    ("name", "spread"),
    [(name, spread) for name in CASES for spread in (0.3, 3.0) if spread < 1 or name not in STEEP],
)
def test_values_and_gradients(name: str, spread: float, trainer: Any):
    options, terms = CASES[name]
    case = Case(seed=4, spread=spread)
    theirs, ours = their_loss(trainer, case, options), our_loss(objective_of(terms), case)
    slopes = [torch.autograd.grad(loss, case.policy_RTV)[0] for loss in (theirs, ours)]
    assert float(slopes[0].abs().max()) > 1e-5
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    scale = float(slopes[0].abs().max())
    torch.testing.assert_close(slopes[1], slopes[0], rtol=1e-4, atol=1e-4 * scale)
