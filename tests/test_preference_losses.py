"""Every preference loss: golden numbers, values and slopes from the formula in float64, labels.

Shapes: M responses, Q pairs of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor

from plaudit.objectives import PREFERENCE_LOSSES, PreferenceOptimisation, PreferenceTerm
from plaudit.objectives.preference_inputs import Pairs, Rated, Sides
from tests.labelled import Batch, batch_of

LN2 = math.log(2)
MATCHED = {"matched_chosen": 0.3, "matched_rejected": -0.2}


def term(name: str, coefficient: float = 1.0, **settings: float) -> PreferenceTerm:
    row = PREFERENCE_LOSSES[name]
    return PreferenceTerm(name=name, row=row, coefficient=coefficient, settings=settings)


def pair_batch(
    logprob: tuple[float, float] = (-4.0, -7.0),
    reference: tuple[float, float] = (-4.6, -6.6),
    tokens: tuple[int, int] = (3, 5),
    **labels: float,
) -> tuple[dict[str, Tensor], Batch]:
    """One pair; log-probabilities of whole responses, spread evenly over their tokens."""
    lengths = torch.tensor(tokens)
    spread = lambda xs: (  # noqa: E731
        (torch.tensor(xs, dtype=torch.float64) / lengths).repeat_interleave(lengths)
    )
    said = {"probability": 1.0, "weight": 1.0, "sorted_reference": 2.0, **MATCHED, **labels}
    pair = {name: torch.tensor([value], dtype=torch.float64) for name, value in said.items()}
    pair |= {"better": torch.tensor([0]), "worse": torch.tensor([1])}
    zeros, ones = torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    branch = {"kto_z0": zeros, "bco_mean": zeros, "ranking_weight": ones}
    branch |= {"rating": torch.tensor([1.0, 0.0], dtype=torch.float64), "weight": ones}
    outputs = {"policy.logprobs": spread(logprob).requires_grad_()}
    outputs["policy.reference_kl"] = torch.full((sum(tokens),), 0.25, dtype=torch.float64)
    outputs["policy.log_collision"] = torch.full((sum(tokens),), -0.5, dtype=torch.float64)
    token = {"reference": spread(reference)}
    return outputs, batch_of(list(tokens), token=token, branch=branch, pair=pair)


def loss_of(name: str, at: dict, **settings: float) -> float:
    objective = PreferenceOptimisation(terms=(term(name, **settings),))
    return float(objective(*pair_batch(**at))[0].detach())


TENTH = {"beta": 0.1}
GOLDEN = {
    "dpo": ({}, TENTH, 0.6443966601),
    "cdpo": ({}, TENTH, 0.6543966601),
    "robust": ({}, TENTH, 0.6318966601),
    "ipo": ({}, TENTH, 16.0),
    "ipo_mean": ({}, TENTH, 22.278400),
    "hinge": ({}, TENTH, 0.9),
    "dpo_norm": ({}, {}, 0.2204174099),
    "simpo": ({}, {}, 1.2175702575),
    "orpo": ({}, {}, 1.3982736402),
    "cpo": ({}, {}, 0.5543552445 + 4.0),
    "nca": ({}, TENTH, 1.3620692532),
    "bco_pair": ({}, TENTH, 1.3369442803),
    "sppo": ({}, TENTH, 40.52),
    "apo_zero": ({}, {}, 0.9750058315),
    "apo_down": ({}, {}, 0.9900163141),
    "exo": ({}, {}, 2.5899540258),
    "dpop": ({}, TENTH, 0.6443966601),
    "dpop fallen": ({"logprob": (-5.2, -7.0)}, TENTH, 3.0676478151),
    "plackett_luce": ({}, TENTH, 0.6443966601),
    "kto": ({}, {}, 0.4850044984 + 0.4900013331),
    "worked trap": (
        {"logprob": (-96.0, -206.0), "reference": (-100.0, -200.0), "tokens": (200, 400)},
        TENTH,
        0.3132616875,
    ),
}
NAMED = {"dpop fallen": "dpop", "worked trap": "dpo"}


@pytest.mark.parametrize("case", GOLDEN)
def test_golden(case: str):
    at, settings, expected = GOLDEN[case]
    assert loss_of(NAMED.get(case, case), at, **settings) == pytest.approx(expected, abs=1e-9)


def test_length_normalised_dpo_of_the_worked_trap():
    at = {"logprob": (-96.0, -206.0), "reference": (-100.0, -200.0), "tokens": (200, 400)}
    assert loss_of("dpo_norm", at) == pytest.approx(0.609, abs=5e-4)
    assert loss_of("dpo_norm", at, beta=1 / 0.035) == pytest.approx(loss_of("dpo", at), abs=1e-3)


def test_kto_with_a_baseline():
    r, y = torch.tensor([0.6, -0.4], dtype=torch.float64), torch.tensor([1.0, 0.0])
    z0 = torch.full((2,), 0.5)
    loss_M = PREFERENCE_LOSSES["kto"].loss(
        Rated(log_ratio_M=r, label_M=y), z0_M=z0, beta=0.1, desirable_weight=1.0,
        undesirable_weight=1.0,
    )  # fmt: skip
    assert loss_M.tolist() == pytest.approx([0.4975000208, 0.4775151752], abs=1e-9)


AT_START = {
    "dpo": LN2, "cdpo": LN2, "robust": LN2, "hinge": 1.0, "ipo": 25.0, "ipo_mean": 25.0, "kto": 1.0,
    "nca": 2 * LN2, "bco_pair": 2 * LN2, "bco": 2 * LN2, "apo_zero": 1.0, "apo_down": 1.0,
    "sppo": 5e5, "dpo_norm": LN2, "ld_dpo": LN2, "odpo": LN2, "dpop": LN2, "f_dpo_js": LN2,
    "f_dpo_forward_kl": LN2, "f_dpo_alpha": LN2, "discopop": (LN2 + 1) / 2, "plackett_luce": LN2,
}  # fmt: skip


@pytest.mark.parametrize("name", AT_START)
def test_a_policy_equal_to_its_reference(name: str):
    at = {"logprob": (-4.0, -7.0), "reference": (-4.0, -7.0)}
    assert loss_of(name, at) == pytest.approx(AT_START[name], abs=1e-9)


# Every formula once more, in plain arithmetic on the numbers of one pair: a and c (log-ratios), w
# and v (log-probabilities), m and n (tokens), p (probability), and the table's own settings.
sigma = lambda x: 1 / (1 + (-x).exp())  # noqa: E731
log_sigma = lambda x: -(1 + (-x).exp()).log()  # noqa: E731


def cross(x: Tensor, p: float) -> Tensor:
    return -p * log_sigma(x) - (1 - p) * log_sigma(-x)


def odds(mean: Tensor) -> Tensor:
    return mean.exp() / (1 - mean.exp())


def discopop(x: Tensor) -> Tensor:
    share = sigma(x / 0.05)
    return (1 - share) * -log_sigma(x) + share * (-x).exp()


def relu(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 0 * x)


PLAIN: Mapping[str, Callable[..., Tensor]] = {
    "dpo": lambda a, c, w, v, m, n, p: cross(0.1 * (a - c), p),
    "cdpo": lambda a, c, w, v, m, n, p: cross(0.1 * (a - c), 0.9 * p + 0.1 * (1 - p)),
    "robust": lambda a, c, w, v, m, n, p: (
        p * (-0.9 * log_sigma(0.1 * (a - c)) + 0.1 * log_sigma(0.1 * (c - a))) / 0.8
        + (1 - p) * (-0.9 * log_sigma(0.1 * (c - a)) + 0.1 * log_sigma(0.1 * (a - c))) / 0.8
    ),
    "ipo": lambda a, c, w, v, m, n, p: p * (a - c - 5) ** 2 + (1 - p) * (c - a - 5) ** 2,
    "ipo_mean": lambda a, c, w, v, m, n, p: (
        p * (a / m - c / n - 5) ** 2 + (1 - p) * (c / n - a / m - 5) ** 2
    ),
    "hinge": lambda a, c, w, v, m, n, p: (
        p * relu(1 - 0.05 * (a - c)) + (1 - p) * relu(1 - 0.05 * (c - a))
    ),
    "dpo_norm": lambda a, c, w, v, m, n, p: cross(5 * (a / m - c / n), p),
    "r_dpo": lambda a, c, w, v, m, n, p: cross(0.1 * (a - c) + 0.01 * (m - n), p),
    "odpo": lambda a, c, w, v, m, n, p: cross(0.1 * (a - c) - 0.7, p),
    "nca": lambda a, c, w, v, m, n, p: (
        -p * log_sigma(0.01 * a)
        - (1 - p) * log_sigma(0.01 * c)
        - 0.5 * (log_sigma(-0.01 * a) + log_sigma(-0.01 * c))
    ),
    "bco_pair": lambda a, c, w, v, m, n, p: cross(0.01 * a, p) + cross(-0.01 * c, p),
    "dpop": lambda a, c, w, v, m, n, p: -log_sigma(0.3 * (a - c - 50 * relu(-a))),
    "tdpo": lambda a, c, w, v, m, n, p: -log_sigma(0.1 * (a - c) - 0.05 * (0.25 * n - 0.25 * m)),
    "wpo": lambda a, c, w, v, m, n, p: (
        torch.exp((w / m + v / n).detach() + 1) * cross(0.01 * (a - c), p)
    ),
    "apo_zero": lambda a, c, w, v, m, n, p: 1 - sigma(0.1 * a) + sigma(0.1 * c),
    "apo_down": lambda a, c, w, v, m, n, p: sigma(0.1 * a) + 1 - sigma(0.1 * (a - c)),
    "sppo": lambda a, c, w, v, m, n, p: (a - (p - 0.5) * 1000) ** 2 + (c - (0.5 - p) * 1000) ** 2,
    "exo": lambda a, c, w, v, m, n, p: (
        sigma(0.1 * (a - c)) * (sigma(0.1 * (a - c)) / (p * 0.999 + (1 - p) * 0.001)).log()
        + sigma(0.1 * (c - a)) * (sigma(0.1 * (c - a)) / ((1 - p) * 0.999 + p * 0.001)).log()
    ),
    "aot": lambda a, c, w, v, m, n, p: -log_sigma(0.1 * (w - v - 2)),
    # The pair's a meets another's c, and its c another's a, which is counted with that other.
    "aot_unpaired": lambda a, c, w, v, m, n, p: (
        -log_sigma(0.1 * (a + 0.2))
        - log_sigma(0.1 * (0.3 - c))
        + log_sigma(0.1 * (0.3 - c.detach()))
    ),
    "f_dpo_forward_kl": lambda a, c, w, v, m, n, p: cross(0.1 * ((-c).exp() - (-a).exp()), p),
    "f_dpo_js": lambda a, c, w, v, m, n, p: cross(
        0.1 * ((2 * a.exp() / (1 + a.exp())).log() - (2 * c.exp() / (1 + c.exp())).log()), p
    ),
    "f_dpo_alpha": lambda a, c, w, v, m, n, p: cross(
        0.1 * ((1 - a.exp() ** -0.5) - (1 - c.exp() ** -0.5)) / 0.5, p
    ),
    "discopop": lambda a, c, w, v, m, n, p: (
        p * discopop(0.1 * (a - c)) + (1 - p) * discopop(0.1 * (c - a))
    ),
    "orpo": lambda a, c, w, v, m, n, p: (
        -w / m + 0.1 * cross(odds(w / m).log() - odds(v / n).log(), p)
    ),
    "simpo": lambda a, c, w, v, m, n, p: (
        -p * log_sigma(2 * (w / m - v / n) - 1) - (1 - p) * log_sigma(2 * (v / n - w / m) - 1)
    ),
    "cpo": lambda a, c, w, v, m, n, p: cross(0.1 * (w - v), p) - w,
    "slic": lambda a, c, w, v, m, n, p: p * relu(1 - w + v) + (1 - p) * relu(1 - v + w),
    "nll": lambda a, c, w, v, m, n, p: -w / m,
    "kto": lambda a, c, w, v, m, n, p: 1 - sigma(0.1 * a) + 1 - sigma(-0.1 * c),
    "bco": lambda a, c, w, v, m, n, p: -log_sigma(0.01 * a) - log_sigma(-0.01 * c),
    "plackett_luce": lambda a, c, w, v, m, n, p: -log_sigma(0.1 * (a - c)),
    # The first 3 tokens of 5 have 3/5 of an evenly spread log-ratio.
    "ld_dpo": lambda a, c, w, v, m, n, p: cross(0.1 * (a - (0.6 * c + 0.5 * 0.4 * c)), p),
}


def test_every_loss_of_the_table_is_written_out_here():
    assert PLAIN.keys() == PREFERENCE_LOSSES.keys()


CASES = [(name, 1.0) for name in PLAIN]
CASES += [(name, 0.8) for name in PLAIN if PREFERENCE_LOSSES[name].labels != "hard"]


@pytest.mark.parametrize(("name", "probability"), CASES)
def test_values_and_slopes_are_those_of_the_formula(name: str, probability: float):
    reference = (-4.6, -6.6)
    at = {"logprob": (-5.2, -5.9), "reference": reference, "probability": probability}
    outputs, batch = pair_batch(**at, margin=0.7)
    leaf_N = outputs["policy.logprobs"]
    loss = PreferenceOptimisation(terms=(term(name),))(outputs, batch)[0]
    (slope_N,) = torch.autograd.grad(loss, leaf_N)

    w, v = (torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (-5.2, -5.9))
    plain = PLAIN[name](w - reference[0], v - reference[1], w, v, 3, 5, probability)
    slopes = torch.autograd.grad(plain, (w, v), allow_unused=True)
    assert float(loss.detach()) == pytest.approx(float(plain.detach()), abs=1e-6, rel=1e-9)
    # Each token of a response has the response's slope; in LD-DPO the tokens beyond 3 have half.
    expected_N = torch.stack([s if s is not None else 0 * w.detach() for s in slopes])[
        [0] * 3 + [1] * 5
    ]
    if name == "ld_dpo":
        expected_N[3:] *= torch.tensor([1, 1, 1, 0.5, 0.5]) / 0.8
    torch.testing.assert_close(slope_N, expected_N, atol=1e-6, rtol=1e-9)


SYMMETRIC = [
    name
    for name, row in PREFERENCE_LOSSES.items()
    if row.unit == "pair" and row.labels in ("smoothed", "debiased") and name not in ("orpo", "cpo")
]


@pytest.mark.parametrize("name", SYMMETRIC)
def test_a_label_turned_round_is_the_pair_turned_round(name: str):
    """``p`` for a pair is ``1 - p`` for the pair with its sides exchanged."""
    straight = {"logprob": (-5.2, -5.9), "probability": 0.8}
    turned = {
        "logprob": (-5.9, -5.2), "reference": (-6.6, -4.6), "tokens": (5, 3), "probability": 0.2,
    }  # fmt: skip
    assert loss_of(name, straight) == pytest.approx(loss_of(name, turned), abs=1e-9)


@pytest.mark.parametrize("name", ["dpo", "dpo_norm", "r_dpo", "odpo", "f_dpo_js", "simpo", "ipo"])
def test_turning_a_pair_round_flips_the_sign_of_the_margin(name: str):
    objective = PreferenceOptimisation(terms=(term(name),))
    turned = {"logprob": (-7.0, -4.0), "reference": (-6.6, -4.6), "tokens": (5, 3)}
    margins = [objective(*pair_batch(**at))[1]["margin"].value() for at in ({}, turned)]
    assert margins[0] == pytest.approx(-margins[1]) and margins[0] != 0


def test_soft_labels_of_all_that_take_them_have_their_optimum_at_the_label():
    """The slope of dpo is 0 where ``sigma(beta d) = p``; of sppo where ``a = (p - 1/2) / beta``."""
    for name, ratio in (("dpo", 10 * math.log(4)), ("sppo", 600.0), ("exo", 10 * math.log(4))):
        smoothing = {"label_smoothing": 1e-9} if name == "exo" else {}
        c = -300.0 if name == "sppo" else 0.0
        outputs, batch = pair_batch(logprob=(-4.6 + ratio + c, -6.6 + c), probability=0.8)
        objective = PreferenceOptimisation(terms=(term(name, **smoothing),))
        (slope_N,) = torch.autograd.grad(objective(outputs, batch)[0], outputs["policy.logprobs"])
        assert slope_N.abs().max() < 1e-6, name


def test_a_ranking_of_three_by_hand():
    """Rewards 2, 1, 0 (golden: .7208676520), the pairs being all that the ranking implies."""
    reward_M = torch.tensor([2.0, 1.0, 0.0], dtype=torch.float64)
    better, worse = torch.tensor([0, 0, 1]), torch.tensor([1, 2, 2])
    loss_M = PREFERENCE_LOSSES["plackett_luce"].loss(reward_M, better, worse, beta=1.0)
    assert float(loss_M.sum()) == pytest.approx(0.7208676520, abs=1e-9)
    assert float(loss_M[2]) == 0.0


def test_rankings_of_extreme_rewards_are_finite():
    reward_M = torch.tensor([-1e4, 1e4, 0.0], requires_grad=True)
    better, worse = torch.tensor([0, 0, 1]), torch.tensor([1, 2, 2])
    loss_M = PREFERENCE_LOSSES["plackett_luce"].loss(reward_M, better, worse, beta=1.0)
    loss_M.sum().backward()
    assert loss_M.tolist() == pytest.approx([2e4, 0.0, 0.0])
    assert reward_M.grad is not None and reward_M.grad.tolist() == pytest.approx([-1, 1, 0])


def test_odds_of_certainty_are_finite():
    outputs, batch = pair_batch(logprob=(0.0, -7.0))
    loss = PreferenceOptimisation(terms=(term("orpo"),))(outputs, batch)[0]
    (slope_N,) = torch.autograd.grad(loss, outputs["policy.logprobs"])
    assert math.isfinite(float(loss.detach())) and bool(torch.isfinite(slope_N).all())


def test_tokens_beyond_the_shorter_response_are_those_that_ld_dpo_reduces():
    """Uneven tokens: rejected log-ratios 1, 2, 3, 4, 5, of which 4 + 5 count by half."""
    _, batch = pair_batch(logprob=(0.0, 0.0), reference=(0.0, 0.0))
    logprob_N = torch.tensor([0.5, 0.5, 0.5, 1, 2, 3, 4, 5], dtype=torch.float64)
    loss = PreferenceOptimisation(terms=(term("ld_dpo"),))({"policy.logprobs": logprob_N}, batch)[0]
    assert float(loss.detach()) == pytest.approx(
        math.log1p(math.exp(-0.1 * (1.5 - (6 + 4.5)))), abs=1e-9
    )


def test_sppo_and_exo_take_the_label_as_their_target():
    sides = Sides(torch.tensor([100.0]), torch.tensor([-100.0]))
    pairs = Pairs(
        logprob=sides, log_ratio=sides, tokens=Sides(torch.ones(1), torch.ones(1)),
        probability_Q=torch.tensor([0.6]), margin_Q=torch.zeros(1),
    )  # fmt: skip
    assert float(PREFERENCE_LOSSES["sppo"].loss(pairs, beta=0.001)) == pytest.approx(0, abs=1e-6)


def test_several_losses_add_up_with_their_weights():
    outputs, batch = pair_batch()
    both = PreferenceOptimisation(terms=(term("dpo"), term("nll", 0.2)))
    loss, metrics = both(outputs, batch)
    assert float(loss.detach()) == pytest.approx(0.6443966601 + 0.2 * 4 / 3, abs=1e-9)
    assert metrics["loss"].value() == pytest.approx(0.6443966601)
    assert metrics["nll_loss"].value() == pytest.approx(4 / 3)


def test_losses_without_a_reference_ask_for_none():
    outputs, batch = pair_batch()
    bare = Batch(branch_N=batch.branch_N, branches=2, branch=batch.branch, pair=batch.pair)
    for name in ("simpo", "orpo", "cpo", "slic", "nll"):
        with_reference = PreferenceOptimisation(terms=(term(name),))(outputs, batch)[0]
        without = PreferenceOptimisation(terms=(term(name),))(outputs, bare)[0]
        assert torch.equal(with_reference, without)
