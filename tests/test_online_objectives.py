"""Online objectives: gradients equal those of exact expectations over a small set of responses.

Shapes: V responses, each of one token; Q pairs; M branches.
"""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from plaudit.objectives import (
    PREFERENCE_LOSSES,
    ExploratoryPreference,
    NashMirrorDescent,
    PreferenceOptimisation,
    PreferenceTerm,
)
from tests.labelled import Batch, batch_of

LOGITS_V = torch.tensor([0.3, -0.2, 0.5, 0.0], dtype=torch.float64)
REFERENCE_V = torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64).log()
REWARD_V = torch.tensor([0.0, 2.0, -1.0, 0.7], dtype=torch.float64)
WINS_VV = torch.sigmoid(REWARD_V[:, None] - REWARD_V[None, :])
BETA = 0.3
DPO = PreferenceOptimisation(
    terms=(PreferenceTerm(name="dpo", row=PREFERENCE_LOSSES["dpo"], settings={"beta": BETA}),)
)


def parameters() -> tuple[Tensor, Tensor]:
    logits_V = LOGITS_V.clone().requires_grad_()
    return logits_V, logits_V.log_softmax(0)


def gradient(loss: Tensor, at: Tensor) -> Tensor:
    return torch.autograd.grad(loss, at, retain_graph=True)[0]


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, atol=1e-9, rtol=0)


def all_pairs(other_V: Tensor, own_V: Tensor) -> tuple[Batch, Tensor]:
    """Every pair of a policy's and another's response, weighted by its chance; and its tokens."""
    pairs = list(product(range(len(own_V)), repeat=2))
    chance_Q = torch.stack([own_V[y] * other_V[z] for y, z in pairs]).detach()
    wins_Q = torch.stack([WINS_VV[y, z] for y, z in pairs])
    token_M = torch.tensor([token for pair in pairs for token in pair])
    even_Q = torch.arange(len(pairs)) * 2
    interleaved = lambda a, b: torch.stack([a, b], 1).flatten()  # noqa: E731
    zero_Q = torch.zeros_like(chance_Q)
    batch = batch_of(
        [1] * len(token_M),
        token={"reference": REFERENCE_V[token_M]},
        branch={
            "weight": interleaved(chance_Q, zero_Q),
            "explore": interleaved(zero_Q, chance_Q),
            "advantage": interleaved(wins_Q - 0.5, 0.5 - wins_Q),
        },
        pair={"better": even_Q, "worse": even_Q + 1, "probability": wins_Q, "weight": chance_Q},
    )
    return batch, token_M


def test_online_dpo_is_the_expectation_over_pairs_of_the_policy():
    logits_V, logprob_V = parameters()
    batch, token_M = all_pairs(logprob_V.exp(), logprob_V.exp())
    loss, _ = DPO({"policy.logprobs": logprob_V[token_M]}, batch)

    ratio_V = logprob_V - REFERENCE_V
    logit_VV = BETA * (ratio_V[:, None] - ratio_V[None, :])
    chance_VV = (logprob_V.exp()[:, None] * logprob_V.exp()[None, :]).detach()
    expected = -(WINS_VV * logsigmoid(logit_VV) + (1 - WINS_VV) * logsigmoid(-logit_VV))
    close(gradient(loss, logits_V), gradient((chance_VV * expected).sum(), logits_V))


def test_xpo_adds_what_the_reference_is_expected_to_write():
    logits_V, logprob_V = parameters()
    alpha = 0.2
    batch, token_M = all_pairs(REFERENCE_V.exp(), logprob_V.exp())
    outputs = {"policy.logprobs": logprob_V[token_M]}
    preference, _ = DPO(outputs, batch)
    loss, metrics = ExploratoryPreference(preference=DPO, alpha=alpha)(outputs, batch)

    explored = alpha * (REFERENCE_V.exp() * logprob_V).sum()
    close(gradient(loss, logits_V), gradient(preference, logits_V) + gradient(explored, logits_V))
    expected = (REFERENCE_V.exp() * logprob_V).sum().item()
    assert metrics["reference_response_logprob"].value() == pytest.approx(expected, rel=1e-5)
    without, _ = ExploratoryPreference(preference=DPO, alpha=0.0)(outputs, batch)
    close(without, preference)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_nash_md_climbs_the_preference_over_the_mixture_less_the_kl(share: float):
    logits_V, logprob_V = parameters()
    mixture_V = ((1 - share) * logprob_V + share * REFERENCE_V).softmax(0).detach()
    batch, token_M = all_pairs(mixture_V, logprob_V.exp())
    loss, metrics = NashMirrorDescent(beta=BETA)({"policy.logprobs": logprob_V[token_M]}, batch)

    policy_V = logprob_V.exp()
    preference = policy_V @ WINS_VV @ mixture_V
    kl = policy_V @ (logprob_V - REFERENCE_V)
    close(gradient(loss, logits_V), gradient(BETA * kl - preference, logits_V))
    assert metrics["log_ratio"].value() == pytest.approx(kl.item(), rel=1e-5)


def test_nash_md_reads_nothing_of_the_opponents_response():
    logprob_N = torch.tensor([-1.0, -2.0, -3.0], requires_grad=True)
    batch = batch_of(
        [2, 1],
        token={"reference": torch.tensor([-1.5, -1.5, -9.0])},
        branch={"weight": torch.tensor([1.0, 0.0]), "advantage": torch.tensor([0.5, -0.5])},
    )
    loss, _ = NashMirrorDescent(beta=0.1)({"policy.logprobs": logprob_N}, batch)
    # log-ratio 0.5 - 0.5 = 0, so the gradient is -A on each of its tokens.
    close(gradient(loss, logprob_N), torch.tensor([-0.5, -0.5, 0.0]))


def test_nash_md_by_hand():
    logprob_N = torch.tensor([-1.0, -2.0], requires_grad=True)
    batch = batch_of(
        [2],
        token={"reference": torch.tensor([-1.25, -2.75])},
        branch={"weight": torch.tensor([1.0]), "advantage": torch.tensor([0.25])},
    )
    loss, _ = NashMirrorDescent(beta=0.1)({"policy.logprobs": logprob_N}, batch)
    assert loss.item() == pytest.approx((0.1 * 1.0 - 0.25) * -3.0)
    torch.testing.assert_close(gradient(loss, logprob_N), torch.tensor([-0.15, -0.15]))
