"""ODIN's length loss: its gradient, and a quality head that no longer pays for length."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from plaudit.objectives.reward import RewardModelling
from plaudit.objectives.reward_length import length_slopes
from tests.labelled import batch_of


def test_length_slopes_are_the_gradient_of_the_correlations():
    rng = np.random.default_rng(0)
    length, quality, head = (torch.as_tensor(rng.normal(size=12)) for _ in range(3))

    def plain(q: np.ndarray, h: np.ndarray) -> float:
        corr = lambda x: float(np.corrcoef(x, length.numpy())[0, 1])  # noqa: E731
        return abs(corr(q)) - corr(h)

    slopes = length_slopes(quality, head, length)
    assert slopes.correlation == pytest.approx(np.corrcoef(quality, length)[0, 1])
    for s in range(12):
        step = np.zeros(12)
        step[s] = 1e-5
        q, h = quality.numpy(), head.numpy()
        by_quality = (plain(q + step, h) - plain(q - step, h)) / 2e-5
        by_head = (plain(q, h + step) - plain(q, h - step)) / 2e-5
        assert float(slopes.quality_S[s]) == pytest.approx(by_quality, abs=1e-6)
        assert float(slopes.length_S[s]) == pytest.approx(by_head, abs=1e-6)
    flat = length_slopes(quality, head, torch.ones(12))
    assert not flat.quality_S.any() and not flat.length_S.any() and flat.correlation == 0
    level = length_slopes(quality, torch.full((12,), 0.3), length)
    assert level.quality_S.any() and not level.length_S.any()


def descend(length_coefficient: float) -> tuple[float, float]:
    """Two linear heads on features (quality, length), where longer responses are mostly preferred.

    Returns the correlations of the quality head with the length and with the quality.
    """
    rng = np.random.default_rng(1)
    quality, length = rng.normal(size=(2, 400))
    feature_MF = torch.as_tensor(np.stack([quality, length], 1))
    liked = quality + 1.5 * length
    pairs = np.arange(400).reshape(-1, 2)
    first_wins = liked[pairs[:, 0]] > liked[pairs[:, 1]]
    better = torch.as_tensor(np.where(first_wins, pairs[:, 0], pairs[:, 1]))
    pair = {
        "better": better,
        "worse": torch.as_tensor(pairs.sum(1)) - better,
        "probability": torch.ones(200, dtype=torch.float64),
        "margin": torch.zeros(200, dtype=torch.float64),
        "weight": torch.full((200,), 1 / 200, dtype=torch.float64),
    }
    none = torch.zeros(400, dtype=torch.float64)
    weight_FH = torch.full((2, 2), 0.1, dtype=torch.float64, requires_grad=True)
    objective = RewardModelling(heads="length", length_coefficient=length_coefficient)
    for _ in range(300):
        scores_MH = feature_MF @ weight_FH
        slopes = length_slopes(*scores_MH.detach().T, feature_MF[:, 1])
        branch = {"rating": none, "weight": none, "length_correlation": none + slopes.correlation,
                  "quality_slope": slopes.quality_S, "length_slope": slopes.length_S}  # fmt: skip
        batch = batch_of([1] * 400, branch=branch, pair=pair)
        loss, _ = objective({"reward.head_scores": scores_MH}, batch)
        (slope,) = torch.autograd.grad(loss, weight_FH)
        with torch.no_grad():
            weight_FH -= 0.3 * slope
    found = (feature_MF @ weight_FH).detach().numpy()[:, 0]
    return float(np.corrcoef(found, length)[0, 1]), float(np.corrcoef(found, quality)[0, 1])


def test_the_length_head_takes_the_length_off_the_quality_head():
    length, _ = descend(0.0)
    assert length > 0.7
    length, quality = descend(1.0)
    assert abs(length) < 0.1 and quality > 0.9
