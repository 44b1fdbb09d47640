"""Selection picks what teaches, and spreads; plans of adaptive overlap cost what they say."""

from __future__ import annotations

import numpy as np
import pytest

from plaudit.statistics.adaptive import expected_cost, needs_votes
from plaudit.statistics.selection import bald, choose_batch


def test_bald_is_high_where_members_are_sure_and_disagree():
    gains = bald([[0.5, 1.0, 0.9, 0.6], [0.5, 0.0, 0.9, 0.4]])
    np.testing.assert_allclose(gains[:3], [0, np.log(2), 0], atol=1e-12)
    assert 0 < gains[3] < 0.05
    # Two members at 0.9 and 0.1: H(0.5) - H(0.1), written out.
    expected = np.log(2) + 0.9 * np.log(0.9) + 0.1 * np.log(0.1)
    assert bald([[0.9], [0.1]])[0] == pytest.approx(expected)
    # Members who are certain, asked through one who errs in 10 %, are the same as those.
    assert bald([[1.0], [0.0]], rater_accuracy=0.9)[0] == pytest.approx(expected)
    assert bald([[1.0], [0.0]], rater_accuracy=0.5)[0] == pytest.approx(0)
    for wrong, message in (([[0.5]], "two members"), ([[np.nan], [0.5]], "NaN or outside")):
        with pytest.raises(ValueError, match=message):
            bald(wrong)


def test_a_batch_keeps_its_random_share_and_takes_the_best_besides():
    gains = np.arange(100.0)
    batch = choose_batch(gains, 20, random_share=0.3, seed=1)
    assert len(set(batch.chosen_B.tolist())) == 20
    assert batch.is_random_B.sum() == 6
    rest = batch.chosen_B[~batch.is_random_B]
    best = [n for n in range(99, -1, -1) if n not in set(batch.chosen_B[:6].tolist())][:14]
    np.testing.assert_array_equal(rest, best)
    # The random part does not depend on the gains: it stays a fair sample.
    other = choose_batch(gains[::-1].copy(), 20, random_share=0.3, seed=1)
    np.testing.assert_array_equal(other.chosen_B[:6], batch.chosen_B[:6])
    with pytest.raises(ValueError, match="a batch of 101"):
        choose_batch(gains, 101)


def test_distance_keeps_a_batch_from_asking_one_question_many_times():
    rng = np.random.default_rng(0)
    # Fifty near-copies with the highest gain, fifty others that lie apart.
    embeddings = np.concatenate([rng.normal(scale=1e-3, size=(50, 4)), rng.normal(size=(50, 4))])
    gains = np.concatenate([np.full(50, 1.0), np.full(50, 0.8)])
    spread = choose_batch(gains, 10, embeddings_ND=embeddings, random_share=0)
    assert (spread.chosen_B < 50).sum() == 1
    assert (choose_batch(gains, 10, random_share=0).chosen_B < 50).sum() == 10
    alike = choose_batch(gains, 10, embeddings_ND=np.zeros((100, 2)), random_share=0.2)
    assert len(set(alike.chosen_B.tolist())) == 10


def test_items_stop_when_sure_or_at_the_most():
    posterior = [[0.95, 0.05], [0.95, 0.05], [0.6, 0.4], [0.6, 0.4]]
    np.testing.assert_array_equal(needs_votes(posterior, [1, 2, 2, 5]), [True, False, True, False])
    with pytest.raises(ValueError, match="least is 3 and most 2"):
        needs_votes(posterior, [1, 2, 2, 5], least=3, most=2)


def test_the_third_vote_on_disagreement_costs_what_it_must():
    a = 0.8
    cost = expected_cost(a, least=2, most=3, threshold=0.9)
    assert cost.votes == pytest.approx(2 + 2 * a * (1 - a))
    assert cost.accuracy == pytest.approx(a**2 + 2 * a * (1 - a) * a)


def test_the_expected_cost_is_that_of_a_simulation():
    rng = np.random.default_rng(0)
    a, most, threshold, items = 0.75, 7, 0.9, 20_000
    said = np.where(rng.random((items, most)) < a, 1, -1)
    lead, votes = np.zeros(items), np.zeros(items, dtype=int)
    for n in range(most):
        p = 1 / (1 + ((1 - a) / a) ** lead)
        going = needs_votes(np.stack([p, 1 - p], 1), votes, least=2, most=most, threshold=threshold)
        lead, votes = lead + going * said[:, n], votes + going
    cost = expected_cost(a, least=2, most=most, threshold=threshold)
    assert cost.votes == pytest.approx(votes.mean(), abs=0.05)
    assert cost.accuracy == pytest.approx(np.mean((lead > 0) + (lead == 0) / 2), abs=0.01)
    assert cost.votes < most
    with pytest.raises(ValueError, match=r"accuracy is 0\.5"):
        expected_cost(0.5)
