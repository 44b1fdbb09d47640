"""The experiments on votes: their reward model, their noise, and their arithmetic of savings."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.active_selection import saving
from benchmarks.arguments import Pool, fit, read_pool
from benchmarks.soft_labels import NOISE, PLANTED, Case, arms, drawn_ballot
from plaudit.statistics import fit_bigram_bradley_terry

VOCABULARY = "tea milk is hot and sweet for all who drink it at noon or later"


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Pool:
    """Two topics of ten arguments, two hundred pairs, five votes each."""
    folder = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    for topic in ("tea_for", "tea_against"):
        texts = [" ".join(rng.choice(VOCABULARY.split(), 8)) + f" {topic} {n}" for n in range(10)]
        votes, known = ["# #id"], ["#id"]
        for pair in range(100):
            a, b = rng.choice(10, 2, replace=False)
            said = rng.choice(["a1", "a2", "equal"], 5)
            votes += [f"{pair}\tw{w}\t{s}\t{texts[a]}\t{texts[b]}" for w, s in enumerate(said)]
            known.append(f"{pair}\ta1\t{texts[a]}\t{texts[b]}")
        for kind, lines in (("UKPConvArgCrowd-CSV", votes), ("UKPConvArg1Strict-CSV", known)):
            (folder / kind).mkdir(exist_ok=True)
            (folder / kind / f"{topic}.csv").write_text("\n".join(lines) + "\n")
    return read_pool(folder)


def test_the_fast_fit_is_the_reward_model_of_bigrams(pool: Pool):
    rows = pool.topic_N == 0
    first_N, second_N = pool.first_N[rows], pool.second_N[rows]
    label_N = np.ones(len(first_N))
    found_F = fit(pool.features_AF, first_N, second_N, label_N, label_N, l2=1.0)
    texts = np.array(pool.texts)
    plain = fit_bigram_bradley_terry(texts[first_N].tolist(), texts[second_N].tolist())
    scores_A = pool.features_AF @ found_F
    expected_A = plain.score(pool.texts)
    used = np.unique(np.r_[first_N, second_N])
    gaps = scores_A[used] - scores_A[used[0]]
    assert gaps == pytest.approx(expected_A[used] - expected_A[used[0]], abs=2e-3)


def test_three_votes_in_ten_are_of_planted_raters_who_press_left_or_flip(pool: Pool):
    ballot = drawn_ballot(pool, Case(name="x"), draw=0)
    assert ballot.votes is not None and len(ballot.votes) == len(pool.pair_V)
    crowd = int(pool.rater_V.max()) + 1
    number_N = np.array([int(rater.id) for rater in ballot.raters])[ballot.votes.raters_N]
    planted_N = number_N >= crowd
    assert planted_N.mean() == pytest.approx(NOISE, abs=0.05)
    assert number_N.max() < crowd + PLANTED
    left_N = planted_N & ((number_N - crowd) % 2 == 1)
    assert (ballot.votes.labels_N[left_N] == ballot.turned_N[left_N]).all()
    pairs = list(zip(ballot.votes.items_N, number_N, strict=True))
    assert len({pair for pair in pairs if pair[1] >= crowd}) == planted_N.sum()


def test_pairs_that_are_not_drawn_are_not_learned_from(pool: Pool):
    ballot = drawn_ballot(pool, Case(name="x", pairs=50, votes=3), draw=1)
    assert (ballot.counts_I() > 0).sum() == 50 and ballot.counts_I().max() == 3
    for labels in arms(ballot).values():
        assert (labels.weight_N[ballot.counts_I() == 0] == 0).all()


def test_labels_spared():
    steps = np.arange(11)
    random_S = 0.6 + 0.01 * steps
    active_S = 0.6 + 0.02 * steps
    size, batch = 500, 100
    assert saving(active_S, random_S, size, batch) == pytest.approx(1 - 500 / 900)
    assert saving(random_S, random_S, size, batch) == pytest.approx(0)
    assert saving(random_S - 0.005, random_S, size, batch) < 0
