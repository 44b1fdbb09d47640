"""Consensus beside crowd-kit's, where that is installed (it is no dependency of ours).

python -m venv .venv-crowdkit && .venv-crowdkit/bin/pip install crowd-kit==1.4.2 pytest
PYTHONPATH=src .venv-crowdkit/bin/python -m pytest --noconftest -s -W ignore \\
        tests/parity/test_consensus_parity.py
"""

from __future__ import annotations

import numpy as np
import pytest

from plaudit.statistics.agreement import krippendorff_alpha
from plaudit.statistics.dawid_skene import dawid_skene, one_coin
from plaudit.statistics.glad import glad
from plaudit.statistics.mace import mace
from plaudit.statistics.majority import majority
from plaudit.statistics.patterns import patterns_of
from plaudit.statistics.votes import most_likely, votes

aggregation = pytest.importorskip("crowdkit.aggregation")
metrics = pytest.importorskip("crowdkit.metrics.data")
pandas = pytest.importorskip("pandas")


def made(seed: int):
    rng = np.random.default_rng(seed)
    items, raters, labels = 400, 20, 3
    truth, accuracy = rng.integers(labels, size=items), rng.uniform(0.4, 0.95, size=raters)
    rater = np.concatenate([rng.permutation(raters)[:6] for _ in range(items)])
    item = np.repeat(np.arange(items), 6)
    right = rng.random(len(item)) < accuracy[rater]
    said = np.where(right, truth[item], (truth[item] + rng.integers(1, labels, len(item))) % labels)
    frame = pandas.DataFrame({"task": item, "worker": rater, "label": said})
    return votes(item, rater, said, items=items, raters=raters, labels=labels), frame, truth


@pytest.mark.parametrize(
    ("ours", "theirs", "options", "same"),
    [
        (lambda v: dawid_skene(v, strength=1e-6), "DawidSkene", {"n_iter": 500}, 0.99),
        (
            lambda v: one_coin(v, accuracy_prior=(1e-6, 1e-6)),
            "OneCoinDawidSkene",
            {"n_iter": 500},
            0.99,
        ),
        (glad, "GLAD", {}, 0.97),
        (mace, "MACE", {"random_state": 0}, 0.97),
    ],
)
def test_labels_are_crowd_kits(ours, theirs, options, same):
    for seed in range(3):
        found, frame, truth = made(seed)
        expected = getattr(aggregation, theirs)(**options).fit_predict(frame)
        labels = most_likely(ours(found).posterior_IK)
        alike = np.mean(labels == expected.loc[np.arange(found.items)].to_numpy())
        right, theirs_right = np.mean(labels == truth), np.mean(expected.sort_index() == truth)
        print(f"{theirs} {seed}: {alike:.4f} alike, right {right:.4f}, theirs {theirs_right:.4f}")
        assert alike >= same
        assert right >= theirs_right - 0.01


def test_shares_and_alpha_are_crowd_kits():
    found, frame, _ = made(9)
    shares = aggregation.MajorityVote().fit(frame).probas_.loc[np.arange(found.items)]
    np.testing.assert_allclose(majority(found).posterior_IK, shares[[0, 1, 2]].to_numpy())
    alpha = metrics.alpha_krippendorff(frame)
    assert krippendorff_alpha(patterns_of(found)) == pytest.approx(alpha)
