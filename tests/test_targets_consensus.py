"""Votes and what is made of them: whose count, in which order they were shown, what they tell."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from plaudit.aggregation import (
    ADJUDICATED,
    counted,
    label_ballot,
    label_consensus,
    pair_ballot,
    pair_consensus,
    step_ballot,
)
from plaudit.aggregation.as_shown import MIRROR_L, dawid_skene_as_shown
from plaudit.aggregation.consensus import Method, resolve
from plaudit.aggregation.votes import FIRST, RIGHT, SECOND, TIE, WRONG, Unit, turned
from plaudit.judgments import (
    Labelled,
    Pairwise,
    Ranked,
    Rated,
    Skipped,
    Stepped,
)
from plaudit.statistics import UNKNOWN, Votes, votes
from tests.judging import item, judgment, prefers


def test_a_comparison_and_a_ranking_vote_on_pairs_of_the_item():
    two, three = item("a"), item("b", "x", "y", "z")
    ballot = pair_ballot(
        [two, three],
        [
            prefers(two, "r", -3),
            judgment(two, "s", Pairwise(strength=0, both_bad=True)),
            judgment(three, "r", Ranked(ranks=(2, 1, 2))),
        ],
    )
    pairs = [("a", 0, 1), ("b", 0, 1), ("b", 0, 2), ("b", 1, 2)]
    assert ballot.units == tuple(Unit(i, (a, b)) for i, a, b in pairs)
    assert ballot.votes is not None
    assert ballot.votes.items_N.tolist() == [0, 0, 1, 2, 3]
    assert ballot.votes.labels_N.tolist() == [FIRST, TIE, SECOND, TIE, FIRST]
    assert ballot.votes.raters_N.tolist() == [0, 1, 0, 0, 0]
    assert ballot.strength_N.tolist() == [3, 0, 0, 0, 0]
    assert ballot.both_bad_N.tolist() == [False, True, False, False, False]


def test_the_order_shown_is_known_turned_or_not_known():
    two = item("a", "x", "y", "z")
    assert turned(prefers(two, "r", 1, shown=(1, 0)), (0, 1)) == 1
    assert turned(prefers(two, "r", 1, shown=(2, 0, 1)), (0, 1)) == 0
    assert turned(prefers(two, "r", 1, shown=(2, 0, 1)), (0, 2)) == 1
    assert turned(prefers(two, "r", 1), (0, 1)) == 0.5


def test_skips_repeats_and_second_answers_are_no_votes():
    one = item()
    first = prefers(one, "r", -1)
    repeat = prefers(one, "r", 1, is_repeat=True)
    again = prefers(one, "r", 1)
    skip = judgment(one, "s", Skipped(reason="unclear"))
    assert counted([first, repeat, again, skip]) == [first]


@pytest.mark.parametrize("method", get_args(Method))
def test_gold_and_adjudicators_are_right_whatever_the_votes(method: Method):
    gold, open_, tied = item("g", gold=Pairwise(strength=-1)), item("a"), item("t")
    said = [prefers(i, r, 2) for i in (gold, open_, tied) for r in "rstu"]
    said.append(prefers(open_, "lead", -1, flags=(ADJUDICATED,)))
    said.append(prefers(tied, "lead", 0, flags=(ADJUDICATED,)))
    pairs = pair_consensus(pair_ballot([gold, open_, tied], said), method)
    assert pairs.ballot.known_I.tolist() == [FIRST, FIRST, TIE]
    assert pairs.first_I.tolist() == [1.0, 1.0, 0.5]
    assert pairs.tied_I.tolist() == [False, False, True]


def test_an_answer_that_does_not_fit_its_item_is_refused():
    one = item()
    wrong = judgment(one, "r", Ranked(ranks=(1, 2, 3)))
    with pytest.raises(ValueError, match=r"judgment j\d+: speaks of \[0, 2\] of item i"):
        pair_ballot([one], [wrong])


def test_counting():
    items = [item(str(n)) for n in range(4)]
    said = [(0, "r", -1), (0, "s", -1), (0, "t", 1), (1, "r", 1), (1, "s", 0), (2, "r", 0)]
    ballot = pair_ballot(items, [prefers(items[n], rater, s) for n, rater, s in said])
    majority, share = (pair_consensus(ballot, m) for m in ("majority", "share"))
    assert majority.first_I.tolist() == [1, 0, 0.5, 0.5]
    assert share.first_I.tolist() == pytest.approx([2 / 3, 1 / 4, 1 / 2, 1 / 2])
    assert share.information_I.tolist() == [3, 2, 1, 0]
    assert majority.tied_I.tolist() == [False, False, True, False]


def test_auto_goes_by_how_many_votes_there_are():
    items = [item(str(n)) for n in range(25)]
    once = [prefers(i, "r", 1) for i in items]
    assert resolve("auto", pair_ballot(items, once)) == "majority"
    twice = [*once, *(prefers(i, "s", 1) for i in items)]
    assert resolve("auto", pair_ballot(items, twice)) == "dawid_skene"
    many = [prefers(i, f"{i.id}{k}", 1) for i in items for k in range(3)]
    assert resolve("auto", pair_ballot(items, many)) == "one_coin"
    with pytest.raises(ValueError, match="wisdom: no such consensus; choose auto"):
        resolve("wisdom", pair_ballot(items, many))  # pyright: ignore[reportArgumentType]


def simulated(seed: int = 0, pairs: int = 400) -> tuple[np.ndarray, Votes, np.ndarray]:
    """Six honest raters right 8 times in 10 (ties 1 in 10), two left-clickers and a coin."""
    rng = np.random.default_rng(seed)
    first_I = rng.random(pairs) < 0.5
    rows = []
    for i in range(pairs):
        for w in rng.choice(9, 5, replace=False):
            turned, right = rng.random() < 0.5, rng.random() < 0.8
            label = FIRST if first_I[i] == right else SECOND
            label = TIE if rng.random() < 0.1 else label
            if w >= 6:
                left = rng.random() < 0.5 if w == 8 else True
                label = SECOND if left == turned else FIRST
            rows.append((i, w, label, turned))
    i_N, w_N, l_N, t_N = np.array(rows).T
    return first_I, votes(i_N, w_N, l_N, labels=3), t_N.astype(float)


def test_left_clickers_are_found_and_are_no_evidence():
    first_I, cast, turned_N = simulated()
    found = dawid_skene_as_shown(cast, turned_N, np.full(cast.items, UNKNOWN))
    assert found.converged
    assert found.skill_W[:6].min() > 0.7 > 0.6 > found.skill_W[6:].max()
    assert found.left_bias_W[6:8].min() > 0.45 and np.abs(found.left_bias_W[:6]).max() < 0.1
    assert found.information_W[6:].max() < 0.02 < 0.1 < found.information_W[:6].min()
    share_I = cast.counts_IK()[:, FIRST] - cast.counts_IK()[:, SECOND]
    by_majority = np.mean((np.sign(share_I) + 1) / 2 == first_I)
    assert np.mean((found.first_I > 0.5) == first_I) > by_majority + 0.05


def test_it_is_where_the_formulas_say():
    """E and M written as loops over votes, from the estimate itself: they must give it again."""
    _, cast, turned_N = simulated(seed=3, pairs=60)
    turned_N[::7] = 0.5
    found = dawid_skene_as_shown(cast, turned_N, np.full(cast.items, UNKNOWN), strength=4.0)
    logit_I, counts_WKL = np.zeros(cast.items), np.zeros((9, 2, 3))
    rows = zip(cast.items_N, cast.raters_N, cast.labels_N, turned_N, strict=True)
    for i, w, label, t in rows:
        straight, mirrored = (found.confusion_WKL[w, :, x] for x in (label, MIRROR_L[label]))
        likely = (1 - t) * straight + t * mirrored[::-1]
        logit_I[i] += np.log(likely[0] / likely[1])
        for k, belief in enumerate((found.first_I[i], 1 - found.first_I[i])):
            counts_WKL[w, k, label] += belief * (1 - t) * straight[k] / likely[k]
            counts_WKL[w, 1 - k, MIRROR_L[label]] += belief * t * mirrored[1 - k] / likely[k]
    assert found.first_I == pytest.approx(1 / (1 + np.exp(-logit_I)), abs=1e-4)
    pooled_KL = counts_WKL.sum(0) + np.array([[2, 1, 1], [1, 2, 1]])
    pooled_KL /= pooled_KL.sum(1, keepdims=True)
    counts_WKL += 4.0 * pooled_KL
    assert found.confusion_WKL == pytest.approx(
        counts_WKL / counts_WKL.sum(2, keepdims=True), abs=1e-4
    )


def test_an_item_with_its_candidates_swapped_is_the_same_question():
    _, cast, turned_N = simulated(seed=1, pairs=80)
    unknown_I = np.full(cast.items, UNKNOWN)
    swapped_N = cast.items_N % 2 == 0
    labels_N = np.where(swapped_N, MIRROR_L[cast.labels_N], cast.labels_N)
    other = votes(cast.items_N, cast.raters_N, labels_N, labels=3)
    a = dawid_skene_as_shown(cast, turned_N, unknown_I)
    b = dawid_skene_as_shown(other, np.where(swapped_N, 1 - turned_N, turned_N), unknown_I)
    even_I = np.arange(cast.items) % 2 == 0
    assert b.first_I == pytest.approx(np.where(even_I, 1 - a.first_I, a.first_I), abs=1e-6)
    assert b.confusion_WKL == pytest.approx(a.confusion_WKL, abs=1e-6)


def test_unanimous_pairs_stay_finite():
    cast = votes([0, 0, 1, 1], [0, 1, 0, 1], [FIRST] * 4, labels=3)
    found = dawid_skene_as_shown(cast, np.full(4, 0.5), np.full(2, UNKNOWN))
    assert np.isfinite(found.confusion_WKL).all() and (found.first_I > 0.5).all()
    assert (found.first_I < 1).all()


@pytest.mark.parametrize("method", ["one_coin", "glad", "mace", "weighted"])
def test_one_number_a_rater_beats_the_majority(method: Method):
    first_I, cast, turned_N = simulated()
    items = [item(str(i)) for i in range(cast.items)]
    strengths = {FIRST: -1, SECOND: 1, TIE: 0}
    said = [
        prefers(items[i], f"r{w}", strengths[label], shown=(1, 0) if turned else (0, 1))
        for i, w, label, turned in zip(
            cast.items_N, cast.raters_N, cast.labels_N, turned_N, strict=True
        )
    ]
    ballot = pair_ballot(items, said)
    found, by_majority = pair_consensus(ballot, method), pair_consensus(ballot, "majority")
    right, counted_right = (
        np.mean(1 - np.abs((pairs.first_I > 0.5) + (pairs.first_I == 0.5) / 2 - first_I))
        for pairs in (found, by_majority)
    )
    assert right > counted_right + 0.02
    honest = np.array([int(rater.id[1:]) < 6 for rater in ballot.raters])
    assert found.skill_W[honest].min() > 0.7 > 0.65 > found.skill_W[~honest].max()
    assert found.information_I.max() < ballot.counts_I().max()


def test_raters_who_only_tie_tell_nothing_odd():
    items = [item(str(n)) for n in range(4)]
    said = [prefers(i, r, s) for i in items for r, s in (("r", -1), ("s", -1), ("t", 0))]
    for method in get_args(Method):
        found = pair_consensus(pair_ballot(items, said), method)
        assert np.isfinite(found.information_I).all() and (found.first_I > 0.5).all(), method


def test_steps_are_wrong_from_the_first_wrong_one_on():
    one = item(steps=("a", "b", "c"))
    said = [
        judgment(one, "r", Stepped(labels=("right", "wrong", None))),
        judgment(one, "s", Stepped(labels=("neutral", "right", "right"))),
    ]
    ballot = step_ballot([one], said)
    assert ballot.votes is not None
    assert ballot.votes.labels_N.tolist() == [RIGHT, WRONG, WRONG, RIGHT, RIGHT, RIGHT]
    posterior_IK = label_consensus(ballot, "majority").posterior_IK
    assert posterior_IK[:, RIGHT].tolist() == [1, 0.5, 0.5]


def test_labels_of_items():
    items = [item("a"), item("c"), item("b", gold=Labelled(label="spam"))]
    said = [judgment(i, r, Labelled(label="ham")) for i in items for r in "rs"]
    found = label_consensus(label_ballot(items, said, ["ham", "spam"]), "one_coin")
    assert (found.posterior_IK[:2, 0] > 0.5).all() and found.posterior_IK[2].tolist() == [0, 1]


def test_judgments_of_other_kinds_leave_pairs_without_votes():
    one = item()
    ballot = pair_ballot([one], [judgment(one, "r", Rated(values=(1.0, 0.0)))])
    assert ballot.votes is None
    assert pair_consensus(ballot).first_I.tolist() == [0.5]
