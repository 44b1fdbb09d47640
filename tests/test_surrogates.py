"""Every surrogate against a plain float64 implementation written from its formula.

Shapes: N policy tokens, M branches (responses).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from plaudit.objectives import Clip, PolicyOptimisation, clipped_surrogate
from plaudit.objectives.surrogates import (
    AdvantageRegression,
    CappedWeight,
    GeometricMean,
    LogProbability,
    SequenceClip,
    SoftGate,
    Surrogate,
    SurrogateRule,
    mean_within_branch,
)
from tests.labelled import Batch, batch_of

LENGTHS = [3, 1, 0, 4]


def example(seed: int = 0, spread: float = 0.4) -> tuple[Tensor, Batch]:
    generator = torch.Generator().manual_seed(seed)
    normal = lambda n: torch.randn(n, generator=generator, dtype=torch.float64)  # noqa: E731
    tokens = sum(LENGTHS)
    logprob_N = -1.0 - normal(tokens).abs()
    advantage_N = normal(len(LENGTHS)).repeat_interleave(torch.tensor(LENGTHS))
    labels = {
        "old": logprob_N + spread * normal(tokens),
        "advantage": advantage_N,
        "reference": logprob_N + normal(tokens),
    }
    return logprob_N.requires_grad_(), batch_of(LENGTHS, token=labels)


def judged(rule: SurrogateRule, logprob_N: Tensor, batch: Batch) -> Surrogate:
    return rule(logprob_N, (logprob_N - batch.token["old"]).exp(), batch)


def responses(batch: Batch) -> list[range]:
    ends = torch.tensor(LENGTHS).cumsum(0).tolist()
    return [range(end - length, end) for end, length in zip(ends, LENGTHS, strict=True)]


def number(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


Plain = Callable[[Tensor, Batch, range, int], Tensor]
"""The loss of token t of a response, the tokens of which are given."""


def ppo(lp: Tensor, batch: Batch, tokens: range, t: int) -> Tensor:
    ratio, a = torch.exp(lp[t] - batch.token["old"][t]), float(batch.token["advantage"][t])
    return -min(ratio * a, min(max(ratio, number(0.8)), number(1.28)) * a)


def two_sided(lp: Tensor, batch: Batch, tokens: range, t: int) -> Tensor:
    """INTELLECT-2: min(min(rho, delta) A, clip(rho) A)."""
    ratio, a = torch.exp(lp[t] - batch.token["old"][t]), float(batch.token["advantage"][t])
    capped = ratio if ratio < 1.4 else number(1.4)
    clipped = min(max(ratio, number(0.8)), number(1.2))
    return -min(capped * a, clipped * a)


def gspo(lp: Tensor, batch: Batch, tokens: range, t: int) -> Tensor:
    log_ratios = [lp[i] - batch.token["old"][i] for i in tokens]
    s = torch.exp(torch.stack(log_ratios).sum() / len(tokens))
    a = float(batch.token["advantage"][t])
    return -min(s * a, min(max(s, number(1 - 0.05)), number(1 + 0.1)) * a)


def cispo(lp: Tensor, batch: Batch, tokens: range, t: int) -> Tensor:
    ratio = math.exp(float(lp[t].detach()) - float(batch.token["old"][t]))
    return -min(ratio, 1.3) * float(batch.token["advantage"][t]) * lp[t]


def sapo(lp: Tensor, batch: Batch, tokens: range, t: int) -> Tensor:
    ratio, a = torch.exp(lp[t] - batch.token["old"][t]), float(batch.token["advantage"][t])
    tau = 1.0 if a > 0 else 1.05
    return -(4 / tau) / (1 + torch.exp(-tau * (ratio - 1))) * a


def gmpo(lp: Tensor, batch: Batch, tokens: range, t: int) -> Tensor:
    """sgn(A) (prod_t |min(rho A, clip(rho, e^-c, e^c) A)|)^(1/n), c = 0.4."""
    a = float(batch.token["advantage"][t])
    product = torch.ones((), dtype=torch.float64)
    for i in tokens:
        ratio = torch.exp(lp[i] - batch.token["old"][i])
        low, high = (number(math.exp(c)) for c in (-0.4, 0.4))
        product = product * abs(min(ratio * a, min(max(ratio, low), high) * a))
    return -math.copysign(1, a) * product ** (1 / len(tokens))


def reinforce(lp: Tensor, batch: Batch, tokens: range, t: int) -> Tensor:
    return -float(batch.token["advantage"][t]) * lp[t]


def a_star(lp: Tensor, batch: Batch, tokens: range, t: int) -> Tensor:
    log_ratio = torch.stack([lp[i] - batch.token["reference"][i] for i in tokens]).sum()
    return (0.3 * log_ratio - float(batch.token["advantage"][t])) ** 2


RULES: dict[str, tuple[SurrogateRule, Plain]] = {
    "clip higher": (Clip(epsilon=0.2, epsilon_high=0.28), ppo),
    "two-sided": (Clip(epsilon=0.2, delta=1.4), two_sided),
    "gspo": (SequenceClip(epsilon=0.05, epsilon_high=0.1), gspo),
    "cispo": (CappedWeight(epsilon_high=0.3), cispo),
    "sapo": (SoftGate(), sapo),
    "gmpo": (GeometricMean(), gmpo),
    "reinforce": (LogProbability(), reinforce),
    "a_star": (AdvantageRegression(regression_beta=0.3), a_star),
}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", RULES)
def test_values_and_gradients_are_those_of_the_formula(name: str, seed: int):
    rule, plain = RULES[name]
    logprob_N, batch = example(seed)
    actual_N = judged(rule, logprob_N, batch).loss_N
    expected_N = torch.stack(
        [plain(logprob_N, batch, tokens, t) for tokens in responses(batch) for t in tokens]
    )
    torch.testing.assert_close(actual_N, expected_N, atol=1e-9, rtol=1e-9)
    # Unequal weights, so that a gradient on the wrong token shows.
    weight_N = torch.arange(1.0, len(logprob_N) + 1, dtype=torch.float64)
    slopes = [
        torch.autograd.grad((weight_N * loss_N).sum(), logprob_N, retain_graph=True)[0]
        for loss_N in (actual_N, expected_N)
    ]
    assert bool(slopes[0].any())
    torch.testing.assert_close(slopes[0], slopes[1], atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("name", sorted(set(RULES) - {"a_star"}))
def test_on_the_policy_that_sampled_the_slope_is_that_of_reinforce(name: str):
    """rho = 1 at the first update: no rule differs from -A log pi there."""
    logprob_N, batch = example(spread=0.0)
    weight_N = torch.repeat_interleave(
        1.0 / torch.tensor(LENGTHS, dtype=torch.float64).clamp(min=1), torch.tensor(LENGTHS)
    )  # equal within a response, as the aggregations give them
    rule, _ = RULES[name]
    found = judged(rule, logprob_N, batch)
    (slope_N,) = torch.autograd.grad((weight_N * found.loss_N).sum(), logprob_N)
    torch.testing.assert_close(slope_N, -weight_N * batch.token["advantage"])
    assert not found.clipped_N.any()


def test_a_response_alone_is_judged_as_among_others():
    logprob_N, batch = example(1)
    tokens = responses(batch)[3]
    part = slice(tokens.start, tokens.stop)
    alone = batch_of([len(tokens)], token={n: v[part] for n, v in batch.token.items()})
    for rule, _ in RULES.values():
        together_N = judged(rule, logprob_N, batch).loss_N[part]
        torch.testing.assert_close(judged(rule, logprob_N[part], alone).loss_N, together_N)


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "slope"),
    [(1.5, -1.0, 1.5, 1.0), (5.0, -2.0, 6.0, 0.0), (0.5, -1.0, 0.8, 0.0), (5.0, 1.0, -1.2, 0.0)],
)
def test_delta_bounds_the_loss_as_dual_clip_does(ratio, advantage, loss, slope):
    """Dual clip: for A < 0, max of PPO's objective and c A; c = 3 here."""
    ratio_N = torch.tensor([ratio], requires_grad=True)
    advantage_N = torch.tensor([advantage])
    settings = {"epsilon": 0.2, "epsilon_high": 0.2}
    found_N = clipped_surrogate(ratio_N, advantage_N, delta=3.0, **settings)
    assert found_N.item() == pytest.approx(loss)
    assert torch.autograd.grad(found_N.sum(), ratio_N)[0].item() == pytest.approx(slope)
    plain_N = clipped_surrogate(ratio_N, advantage_N, **settings)
    dual = plain_N.clamp(max=-3.0 * advantage) if advantage < 0 else plain_N
    assert found_N.item() == pytest.approx(dual.item())


def test_gspo_is_grpo_where_every_token_has_the_same_ratio():
    logprob_N, batch = example()
    batch.token["old"].copy_(logprob_N.detach() - 0.1)  # pyright: ignore[reportAttributeAccessIssue]
    bounds = {"epsilon": 0.05, "epsilon_high": 0.08}
    token = judged(Clip(**bounds), logprob_N, batch)
    sequence = judged(SequenceClip(**bounds), logprob_N, batch)
    torch.testing.assert_close(token.loss_N, sequence.loss_N)
    torch.testing.assert_close(token.clipped_N, sequence.clipped_N)


def test_what_counts_as_clipped():
    labels = {"old": torch.zeros(4), "advantage": torch.tensor([1.0, -1.0, 1.0, -1.0])}
    batch = batch_of([2, 2], token=labels)
    logprob_N = torch.tensor([0.5, 0.5, -0.5, -0.5])
    clipped = lambda rule: judged(rule, logprob_N, batch).clipped_N.tolist()  # noqa: E731
    assert clipped(Clip()) == [True, False, False, True]
    assert clipped(CappedWeight(epsilon_high=0.5)) == [True, True, False, False]
    assert clipped(GeometricMean()) == [True, False, False, True]
    assert clipped(SoftGate()) == [False] * 4


def test_mean_within_a_branch_skips_branches_without_tokens():
    batch = batch_of([2, 0, 1])
    means = mean_within_branch(torch.tensor([1.0, 3.0, 5.0]), batch)
    assert means.tolist() == [2.0, 2.0, 5.0]


def loss_of(objective: PolicyOptimisation, lengths: Sequence[int], **labels: Tensor):
    tokens = sum(lengths)
    outputs = {
        "policy.logprobs": torch.zeros(tokens, dtype=torch.float64, requires_grad=True),
        "policy.entropy": torch.ones(tokens, dtype=torch.float64, requires_grad=True),
        "policy.kl": torch.full((tokens,), 0.5, dtype=torch.float64, requires_grad=True),
    }
    loss, metrics = objective(outputs, batch_of(lengths, token=labels))
    slopes = {
        name: torch.autograd.grad(loss, values, retain_graph=True, allow_unused=True)[0]
        for name, values in outputs.items()
    }
    return loss, slopes, {name: mean.value() for name, mean in metrics.items()}


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_the_sequence_mask_leaves_out_what_drifted_and_was_bad():
    """DeepSeek-V3.2: A < 0 and mean log(sampled / pi) over the threshold; two of four responses."""
    labels = {
        "weight": tensor(*[0.25] * 6),
        "advantage": tensor(-1, -1, 1, 1, -1, -2),
        "old": tensor(0, 0, 0, 0, 0, 0),
        # Means of .3, .3, .1, .5: only the first and the last are both bad and far.
        "sampled": tensor(0.6, 0.0, 0.3, 0.3, 0.1, 0.5),
    }
    objective = PolicyOptimisation(critic=False, off_policy_mask_threshold=0.2)
    loss, slopes, metrics = loss_of(objective, [2, 2, 1, 1], **labels)
    slope_N = slopes["policy.logprobs"]
    torch.testing.assert_close(slope_N, tensor(0, 0, -0.25, -0.25, 0.25, 0))
    assert metrics["masked"] == 0.5
    assert loss.item() == pytest.approx(0.25 * (-1 - 1 + 1))


def test_bonus_likelihood_and_exact_kl_are_added_with_their_weights():
    labels = {
        "weight": tensor(0.5, 0.25),
        "advantage": tensor(1, -1),
        "old": tensor(0, 0),
        "nll_weight": tensor(1, 0),
    }
    objective = PolicyOptimisation(
        critic=False,
        kl_coefficient=2.0,
        kl_estimator="full",
        entropy_coefficient=0.1,
        nll_coefficient=0.3,
    )
    assert objective.needs == ("policy.logprobs", "policy.entropy", "policy.kl")
    loss, slopes, _ = loss_of(objective, [1, 1], **labels)
    assert loss.item() == pytest.approx((-0.5 + 0.25) + 2 * 0.5 * 0.75 - 0.1 * 0.75 - 0.0)
    torch.testing.assert_close(slopes["policy.entropy"], tensor(-0.05, -0.025))
    torch.testing.assert_close(slopes["policy.kl"], tensor(1.0, 0.5))
    torch.testing.assert_close(slopes["policy.logprobs"], tensor(-0.5 - 0.3, 0.25))
