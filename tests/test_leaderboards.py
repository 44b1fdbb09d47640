"""Leaderboards agree with others' implementations, and their intervals with simulation."""

from __future__ import annotations

import choix
import evalica
import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.special import expit

from plaudit.statistics.bradley_terry import (
    bradley_terry,
    bradley_terry_bootstrap,
    elo_scale,
    rank_by_intervals,
    style_differences,
)
from plaudit.statistics.comparisons import comparisons
from plaudit.statistics.elo import elo, thurstone
from plaudit.statistics.plackett_luce import (
    order_of,
    plackett_luce,
    plackett_luce_loss,
    ranked_groups,
)
from plaudit.statistics.ties import davidson, davidson_loss, rao_kupper, rao_kupper_loss

TRUTH = np.array([1.0, 0.5, 0.0, -0.5, -1.0])
WINNERS = {1.0: evalica.Winner.X, 0.0: evalica.Winner.Y, 0.5: evalica.Winner.Draw}


def battles(seed: int, size: int = 400, ties: float = 0.2, truth=TRUTH):
    rng = np.random.default_rng(seed)
    pair = np.array([rng.choice(len(truth), 2, replace=False) for _ in range(size)])
    won = (rng.random(size) < expit(truth[pair[:, 0]] - truth[pair[:, 1]])).astype(float)
    won[rng.random(size) < ties] = 0.5
    return comparisons(*pair.T, won, items=len(truth))


def evalica_scores(found) -> np.ndarray:
    scores = np.log([found.scores[item] for item in range(len(found.scores))])
    return scores - scores.mean()


def of_evalica(method, data, **options):
    winners = [WINNERS[won] for won in data.won_N]
    return method(data.i_N.tolist(), data.j_N.tolist(), winners, **options)


def test_bradley_terry_is_evalicas_and_choixs():
    data = battles(0)
    ours = bradley_terry(data, prior_precision=1e-9).scores_I
    exact = {"tolerance": 1e-12, "limit": 10_000}
    np.testing.assert_allclose(
        ours, evalica_scores(of_evalica(evalica.bradley_terry, data, **exact)), atol=1e-5
    )
    decided = battles(1, ties=0)
    wins = [(i, j) if won else (j, i) for i, j, won in zip(*rows_of(decided), strict=True)]
    found = choix.ilsr_pairwise(5, wins)
    ours = bradley_terry(decided, prior_precision=1e-9).scores_I
    np.testing.assert_allclose(ours, found - found.mean(), atol=1e-5)


def rows_of(data):
    return data.i_N.tolist(), data.j_N.tolist(), data.won_N.tolist()


def test_a_draw_counts_once():
    # 6 wins, 2 losses and 4 draws are 8 points to 4, whether draws are rows of a half or split.
    draws = comparisons([0] * 12, [1] * 12, [1] * 6 + [0] * 2 + [0.5] * 4)
    found = bradley_terry(draws, prior_precision=1e-9).scores_I
    assert found[0] - found[1] == pytest.approx(np.log(8 / 4), abs=1e-6)


def test_davidson_is_newmans_model_and_gradients_are_right():
    data = battles(2)
    ours = davidson(data, prior_precision=1e-9)
    found = of_evalica(evalica.newman, data, tolerance=1e-12, limit=10_000)
    np.testing.assert_allclose(ours.scores_I, evalica_scores(found), atol=1e-3)
    assert ours.tie == pytest.approx(2 * found.v, rel=1e-2)
    rng = np.random.default_rng(0)
    for loss in (davidson_loss, rao_kupper_loss):
        at = np.append(rng.normal(size=6), -0.7)
        won = np.array([1, 0, 0.5, 1, 0, 0.5])
        _, by_gap, by_tie = loss(at[:-1], at[-1], won)
        numeric = approx_fprime(at, lambda x, loss=loss, won=won: loss(x[:-1], x[-1], won)[0], 1e-7)
        np.testing.assert_allclose(np.append(by_gap, by_tie), numeric, atol=1e-5)


def test_models_of_ties_give_back_how_often_items_tie():
    rng = np.random.default_rng(3)
    size, eta, scores = 20_000, 0.5, np.array([0.6, 0.0, -0.6])
    pair = np.array([rng.choice(3, 2, replace=False) for _ in range(size)])
    gap = scores[pair[:, 0]] - scores[pair[:, 1]]
    u = rng.random(size)
    won = np.where(u < expit(gap - eta), 1, np.where(u > expit(gap + eta), 0, 0.5))
    data = comparisons(*pair.T, won)
    found = rao_kupper(data)
    assert found.tie == pytest.approx(eta, rel=0.05)
    np.testing.assert_allclose(found.scores_I, scores, atol=0.06)
    np.testing.assert_array_equal(np.argsort(davidson(data).scores_I), [2, 1, 0])
    with pytest.raises(ValueError, match=r"not 1, 0 or 0\.5"):
        davidson(comparisons([0], [1], [0.3]))


def test_undefeated_items_and_groups_apart_are_finite_wide_and_said():
    data = comparisons([0] * 10 + [1, 2, 1, 2], [1] * 10 + [2, 1, 2, 1], [1] * 10 + [1, 1, 0, 0.5])
    board = bradley_terry(data)
    assert np.isfinite([board.scores_I, board.low_I, board.high_I]).all()
    assert board.undetermined_I.tolist() == [True, False, False]
    assert board.high_I[0] - board.low_I[0] > 2 * (board.high_I[1] - board.low_I[1])
    assert any("always win or always lose" in warning for warning in board.warnings)
    apart = bradley_terry(comparisons([0, 0, 0, 2, 2], [1, 1, 1, 3, 3], [1, 0, 1, 1, 0]))
    assert np.isfinite([apart.scores_I, apart.low_I, apart.high_I]).all()
    assert any("never compared" in warning for warning in apart.warnings)
    assert (apart.high_I[2:] - apart.low_I[2:]).min() > 10
    clusters = np.arange(len(data))
    boot = bradley_terry_bootstrap(data, clusters, resamples=50)
    assert np.isfinite([boot.low_I, boot.high_I]).all()
    np.testing.assert_allclose(boot.scores_I, board.scores_I)


def test_unrelated_items_change_nothing():
    data = battles(4)
    alone = bradley_terry(data)
    more = comparisons(
        np.append(data.i_N, [5, 5, 6, 5]),
        np.append(data.j_N, [6, 6, 5, 6]),
        np.append(data.won_N, [1, 0, 1, 1]),
    )
    beside = bradley_terry(more)
    np.testing.assert_allclose(beside.scores_I[:5], alone.scores_I, atol=1e-6)
    np.testing.assert_allclose(beside.high_I[:5], alone.high_I, rtol=1e-2)
    # A newcomer who met one of them only says nothing of the others among themselves.
    newcomer = comparisons(
        np.append(data.i_N, [5] * 4),
        np.append(data.j_N, [0] * 4),
        np.append(data.won_N, [1, 1, 1, 0]),
    )
    gaps = np.diff(bradley_terry(newcomer).scores_I[:5])
    np.testing.assert_allclose(gaps, np.diff(alone.scores_I), atol=1e-3)


def test_rows_said_twice_do_not_narrow_clustered_intervals():
    data, prompts = battles(5), np.arange(400)
    thrice = comparisons(*(np.repeat(column, 3) for column in (data.i_N, data.j_N, data.won_N)))
    once = bradley_terry(data, prompts)
    again = bradley_terry(thrice, np.repeat(prompts, 3))
    np.testing.assert_allclose(again.high_I - again.low_I, once.high_I - once.low_I, rtol=1e-3)
    as_new = bradley_terry(thrice)
    assert (as_new.high_I - as_new.low_I < 0.7 * (once.high_I - once.low_I)).all()
    boot = bradley_terry_bootstrap(thrice, np.repeat(prompts, 3), resamples=300)
    np.testing.assert_allclose(boot.high_I - boot.low_I, once.high_I - once.low_I, rtol=0.2)


def test_clustered_intervals_cover_where_votes_share_a_prompt():
    covered = {"clustered": [], "rows": []}
    for seed in range(60):
        rng = np.random.default_rng(seed)
        prompts, votes = 120, 4
        pair = np.array([rng.choice(5, 2, replace=False) for _ in range(prompts)])
        gap = TRUTH[pair[:, 0]] - TRUTH[pair[:, 1]]
        # The votes of a prompt nearly always follow one draw.
        said = np.repeat(rng.random(prompts) < expit(gap), votes)
        rows = np.repeat(pair, votes, axis=0)
        data = comparisons(*rows.T, said, items=5)
        for name, clusters in (("clustered", np.repeat(np.arange(prompts), votes)), ("rows", None)):
            board = bradley_terry(data, clusters)
            covered[name].append((board.low_I <= TRUTH) & (board.high_I >= TRUTH))
    assert np.mean(covered["clustered"]) > 0.9
    assert np.mean(covered["rows"]) < 0.8


def test_a_planted_effect_of_length_is_taken_out():
    rng = np.random.default_rng(6)
    size, scores, effect = 6000, np.array([0.5, 0.0, -0.5]), 1.2
    pair = np.array([rng.choice(3, 2, replace=False) for _ in range(size)])
    # The worst item is the longest.
    length = 100 * np.array([1.0, 1.5, 3.0])[pair] * rng.lognormal(0, 0.3, (size, 2))
    headers = rng.poisson(2, (size, 2)).astype(float)
    z_NF = style_differences(
        np.stack([length[:, 0], headers[:, 0]], 1), np.stack([length[:, 1], headers[:, 1]], 1)
    )
    logit = scores[pair[:, 0]] - scores[pair[:, 1]] + effect * z_NF[:, 0]
    data = comparisons(*pair.T, rng.random(size) < expit(logit))
    raw, controlled = bradley_terry(data), bradley_terry(data, covariates_NF=z_NF)
    assert np.argmax(raw.scores_I) == 2
    np.testing.assert_allclose(controlled.scores_I, scores, atol=0.15)
    doubt = 3 * np.sqrt(np.diag(controlled.covariance_TT)[3:])
    assert (np.abs(controlled.effects_F - [effect, 0]) < doubt).all()
    swapped = style_differences(np.ones((2, 1)), np.full((2, 1), 3.0))
    np.testing.assert_allclose(swapped, -style_differences(np.full((2, 1), 3.0), np.ones((2, 1))))
    boot = bradley_terry_bootstrap(data, np.arange(size), z_NF, resamples=20)
    np.testing.assert_allclose(boot.scores_I, controlled.scores_I)


def test_a_model_against_itself_made_longer_is_even_at_equal_length():
    gaps, covered = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        length = rng.lognormal(0, 0.5, (1000, 2)) * [1.5, 1.0]
        z_NF = style_differences(length[:, :1], length[:, 1:])
        data = comparisons([0] * 1000, [1] * 1000, rng.random(1000) < expit(z_NF[:, 0]))
        assert bradley_terry(data).low_I[0] > 0
        board = bradley_terry(data, covariates_NF=z_NF)
        gaps.append(board.scores_I[0] - board.scores_I[1])
        covered.append(board.low_I[0] <= 0 <= board.high_I[0])
    assert abs(np.mean(gaps)) < 3 * np.std(gaps) / np.sqrt(20)
    assert np.mean(covered) >= 0.8


def test_ranks_come_from_intervals():
    np.testing.assert_array_equal(rank_by_intervals([2, 1, 0], [3, 2.5, 0.5]), [1, 1, 3])
    assert elo_scale(np.log(10)) == pytest.approx(1400)


def test_a_weight_is_as_many_rows_and_few_clusters_are_said():
    data = battles(7, 100)
    weights = np.where(np.arange(100) < 50, 2.0, 1.0)
    rows = np.repeat(np.arange(100), weights.astype(int))
    repeated = comparisons(data.i_N[rows], data.j_N[rows], data.won_N[rows])
    weighted = bradley_terry(data, np.arange(100), weights_N=weights)
    np.testing.assert_allclose(weighted.scores_I, bradley_terry(repeated, rows).scores_I, atol=1e-6)
    assert any("only 5 clusters" in w for w in bradley_terry(data, np.arange(100) % 5).warnings)
    with pytest.raises(ValueError, match="one cluster"):
        bradley_terry(data, np.zeros(100))


def test_plackett_luce_is_choixs_and_on_pairs_bradley_terry():
    rng = np.random.default_rng(8)
    orders = [np.argsort(-(TRUTH + rng.gumbel(size=5)))[: rng.integers(2, 6)] for _ in range(200)]
    found = choix.ilsr_rankings(5, [order.tolist() for order in orders])
    ours = plackett_luce([o.tolist() for o in orders], 5, prior_precision=1e-9)
    np.testing.assert_allclose(ours, found - found.mean(), atol=1e-4)
    data = battles(9, ties=0)
    pairs = [(i, j) if won else (j, i) for i, j, won in zip(*rows_of(data), strict=True)]
    np.testing.assert_allclose(plackett_luce(pairs, 5), bradley_terry(data).scores_I, atol=1e-4)


def test_plackett_luce_loss_has_the_golden_value_and_its_gradient():
    orders = np.array([[0, 1, 2]])
    loss, _ = plackett_luce_loss(np.array([2.0, 1.0, 0.0]), orders, np.array([3]))
    assert loss == pytest.approx(0.7208676520)
    padded, length = np.array([[2, 0, 1, 3], [1, 3, 0, 0]]), np.array([4, 2])
    at = np.array([0.3, -0.2, 0.8, 0.1])
    numeric = approx_fprime(at, lambda x: plackett_luce_loss(x, padded, length)[0], 1e-7)
    np.testing.assert_allclose(plackett_luce_loss(at, padded, length)[1], numeric, atol=1e-5)


def test_rankings_with_ties_are_refused_and_groups_are_told():
    np.testing.assert_array_equal(order_of([2, 1, 3]), [1, 0, 2])
    with pytest.raises(ValueError, match="have a tie"):
        order_of([1, 1, 2])
    with pytest.raises(ValueError, match="repeats an item"):
        plackett_luce([[0, 0]], 2)
    np.testing.assert_array_equal(ranked_groups([[0, 1], [2, 3, 1]], 5), [0, 0, 0, 0, 1])
    always_first = plackett_luce([[0, 1, 2]] * 5 + [[0, 2, 1]] * 5, 3)
    assert np.isfinite(always_first).all()


def test_elo_is_evalicas_and_depends_on_the_order_of_rows():
    data = battles(10, 60)
    found = of_evalica(evalica.elo, data, initial=1000.0, scale=400.0, k=4.0)
    np.testing.assert_allclose(elo(data), [found.scores[i] for i in range(5)], atol=1e-6)
    backwards = comparisons(data.i_N[::-1], data.j_N[::-1], data.won_N[::-1])
    assert np.abs(elo(backwards) - elo(data)).max() > 0.1
    np.testing.assert_allclose(
        bradley_terry(backwards).scores_I, bradley_terry(data).scores_I, atol=1e-7
    )


def test_thurstone_gives_back_normal_scores():
    rng = np.random.default_rng(11)
    truth, size = np.array([0.5, 0.0, -0.5]), 8000
    pair = np.array([rng.choice(3, 2, replace=False) for _ in range(size)])
    won = truth[pair[:, 0]] - truth[pair[:, 1]] + rng.normal(size=size) > 0
    data = comparisons(*pair.T, won)
    np.testing.assert_allclose(thurstone(data), truth, atol=0.05)
    ratio = bradley_terry(data).scores_I[0] / thurstone(data)[0]
    assert 1.5 < ratio < 1.8
