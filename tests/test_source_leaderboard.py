"""Leaderboards of models from a log: what is counted, whose scores, and the command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from plaudit.aggregation.leaderboards import SourceVotes, source_votes, standings
from plaudit.cli import app
from plaudit.judgments import Candidate, Item, Judgment, Pairwise, Ranked
from plaudit.store import add_items, append, open_store, put_project
from tests.judging import judgment

STRENGTHS = {"strong": 1.0, "middle": 0.0, "weak": -1.5}


def between(id: str, *sources: str, prompt: str = "", texts: tuple[str, ...] = ()) -> Item:
    told = texts or tuple(f"text {n}" for n in range(len(sources)))
    candidates = tuple(
        Candidate(content=text, source=source) for text, source in zip(told, sources, strict=True)
    )
    return Item(id=id, prompt=prompt or f"prompt of {id}", candidates=candidates)


def drawn(votes: int = 900) -> tuple[list[Item], list[Judgment]]:
    """Votes drawn by Bradley-Terry, of ten raters on prompts of their own."""
    draw = np.random.default_rng(0)
    items, said = [], []
    for n in range(votes):
        first, second = draw.permutation(list(STRENGTHS))[:2]
        items.append(between(f"i{n}", first, second))
        first_wins = draw.random() < 1 / (1 + np.exp(STRENGTHS[second] - STRENGTHS[first]))
        answer = Pairwise(strength=-2 if first_wins else 2)
        said.append(judgment(items[-1], f"r{n % 10}", answer, shown=(n % 2, 1 - n % 2)))
    return items, said


@pytest.fixture(scope="module")
def found() -> SourceVotes:
    return source_votes(*drawn())


def test_the_scores_are_those_that_votes_were_drawn_by(found: SourceVotes) -> None:
    assert found.sources == ("middle", "strong", "weak")
    board = standings(found, "bradley_terry")
    assert board.low_I is not None and board.high_I is not None
    centred = {name: score - np.mean([*STRENGTHS.values()]) for name, score in STRENGTHS.items()}
    true_I = np.array([1000 + 400 / np.log(10) * centred[name] for name in found.sources])
    assert ((board.low_I < true_I) & (true_I < board.high_I)).all()
    assert board.ranks_I is not None and board.ranks_I.tolist() == [2, 1, 3]
    assert not board.undetermined_I.any() and len(board.warnings) == 1  # ten raters are few


@pytest.mark.parametrize("scale", ["plackett_luce", "davidson", "rao_kupper", "thurstone", "elo"])
def test_every_scale_finds_the_order(found: SourceVotes, scale) -> None:
    board = standings(found, scale)
    assert np.argsort(-board.scores_I).tolist() == [1, 0, 2]
    assert board.low_I is None
    with pytest.raises(ValueError, match="expected bradley_terry"):
        standings(found, scale, equal_length=True)


def test_votes_said_over_and_over_narrow_nothing() -> None:
    """Each rater's answer ten times, by others, on one prompt: clusters see through it."""
    items, said = drawn(120)
    once = standings(source_votes(items, said), "bradley_terry")
    again = [
        judgment(item, f"{one.rater.id}-{k}", one.answer)
        for item, one in zip(items, said, strict=True)
        for k in range(10)
    ]
    often = standings(source_votes(items, again), "bradley_terry")
    widths = [board.high_I - board.low_I for board in (once, often)]
    assert widths[1] == pytest.approx(widths[0], rel=0.1)


def test_what_counts_as_a_vote() -> None:
    items = [
        between("pair", "a", "b"), between("same", "a", "a"), between("nobody", "a", ""),
        between("three", "a", "b", "c"),
    ]  # fmt: skip
    said = [
        judgment(items[0], "r", Pairwise(strength=0, both_bad=True), shown=(1, 0)),
        judgment(items[0], "r", Pairwise(strength=3), is_repeat=True),
        judgment(items[1], "r", Pairwise(strength=1)),
        judgment(items[2], "r", Pairwise(strength=1)),
        judgment(items[3], "r", Ranked(ranks=(2, 1, 2)), shown=(0, 1, 2)),
    ]
    found = source_votes(items, said)
    assert found.unknown == 2 and found.sources == ("a", "b", "c")
    rows = zip(found.data.i_N, found.data.j_N, found.data.won_N, found.data.side_N, strict=True)
    assert [tuple(map(float, row)) for row in rows] == [
        (0, 1, 0.5, -1), (0, 1, 0, 1), (0, 2, 0.5, 1), (1, 2, 1, 1),
    ]  # fmt: skip
    assert found.prompts_N.tolist() == [0, 1, 1, 1]
    assert not found.orders
    with pytest.raises(ValueError, match="every answer ties"):
        standings(found, "plackett_luce")
    with pytest.raises(ValueError, match=r"known and different sources \(1 are of others\)"):
        source_votes(items[1:2], said[2:3])


def test_orders_are_whole_answers_of_known_sources() -> None:
    items = [between("p", "a", "b"), between("four", "d", "", "c", "b"), between("two", "a", "a")]
    three = between("three", "x", "y", "z")
    said = [
        judgment(items[0], "r", Pairwise(strength=2)),
        judgment(items[1], "r", Ranked(ranks=(3, 1, 2, 4))),
        judgment(items[2], "r", Pairwise(strength=2)),
        judgment(three, "r", Ranked(ranks=(2, 1, 3))),
    ]
    found = source_votes([*items, three], said)
    names = [tuple(found.sources[n] for n in order) for order in found.orders]
    assert names == [("b", "a"), ("c", "d", "b"), ("y", "x", "z")]
    warnings = standings(found, "plackett_luce").warnings
    assert "3 answers" in warnings[0] and "groups" in warnings[1]


def test_rankings_give_the_scores_that_they_were_drawn_by() -> None:
    draw, names = np.random.default_rng(0), [*STRENGTHS]
    strength_I = np.array([*STRENGTHS.values()])
    items = [between(f"i{n}", *names) for n in range(2000)]
    # The order of strengths with Gumbel noise is Plackett and Luce's.
    noisy_NI = strength_I + draw.gumbel(size=(len(items), len(names)))
    ranks_NI = (-noisy_NI).argsort(1).argsort(1) + 1
    said = [
        judgment(item, f"r{n % 9}", Ranked(ranks=tuple(map(int, ranks_NI[n]))))
        for n, item in enumerate(items)
    ]
    found = source_votes(items, said)
    scores_I = (standings(found, "plackett_luce").scores_I - 1000) * np.log(10) / 400
    centred = {name: score - strength_I.mean() for name, score in STRENGTHS.items()}
    assert scores_I == pytest.approx([centred[name] for name in found.sources], abs=0.1)


def test_one_rater_on_one_prompt_tells_no_interval() -> None:
    items = [between(f"i{n}", "a", "b", prompt="same") for n in range(3)]
    found = source_votes(items, [judgment(item, "r", Pairwise(strength=1)) for item in items])
    with pytest.raises(ValueError, match="one rater on one prompt"):
        standings(found, "bradley_terry")
    assert standings(found, "davidson").scores_I[1] > standings(found, "davidson").scores_I[0]


def test_length_is_told_apart_from_the_model() -> None:
    """Raters who like the longer one, whoever wrote it; one model writes at length."""
    draw = np.random.default_rng(1)
    items, said = [], []
    for n in range(400):
        lengths = draw.integers(20, 200, 2) + np.array([100, 0])
        items.append(between(f"i{n}", "wordy", "terse", texts=tuple("x" * k for k in lengths)))
        gap = (lengths[0] - lengths[1]) / sum(lengths)
        first_wins = draw.random() < 1 / (1 + np.exp(-4 * gap))
        said.append(judgment(items[-1], f"r{n}", Pairwise(strength=-1 if first_wins else 1)))
    found = source_votes(items, said)
    plain, equal = (standings(found, "bradley_terry", equal_length=e) for e in (False, True))
    assert plain.ranks_I.tolist() == [2, 1] and equal.ranks_I.tolist() == [1, 1]
    assert plain.longer_effect is None and equal.longer_effect > 100


@pytest.fixture
def log(tmp_path: Path) -> Iterator[str]:
    items, said = drawn(200)
    store = open_store(tmp_path / "log.db")
    put_project(store, "p", json.dumps({}))
    add_items(store, "p", items, 1)
    append(store, said)
    store.close()
    yield str(tmp_path / "log.db")


def test_names_are_shown_as_they_are_and_raters_who_count(tmp_path: Path) -> None:
    items = [between("[/b]", "[red]a[/]", "[/b]"), between("other", "[red]a[/]", "")]
    voters = [(0, "r0"), (0, "r1"), (1, "r2")]
    said = [judgment(items[n], rater, Pairwise(strength=1)) for n, rater in voters]
    store = open_store(tmp_path / "log.db")
    put_project(store, "p", json.dumps({}))
    add_items(store, "p", items, 1)
    append(store, said)
    store.close()
    shown = CliRunner().invoke(app, ["feedback", "leaderboard", str(tmp_path / "log.db")])
    assert shown.exit_code == 0, shown.output
    assert "p: 2 votes of 2 raters on 2 sources" in shown.stdout
    assert "[red]a[/]" in shown.stdout and "[/b]" in shown.stdout
    shown = CliRunner().invoke(app, ["feedback", "consensus", str(tmp_path / "log.db")])
    assert shown.exit_code == 0 and "[/b]" in shown.stdout, shown.output


def test_the_command_shows_a_table(log: str) -> None:
    shown = CliRunner().invoke(app, ["feedback", "leaderboard", log])
    assert shown.exit_code == 0, shown.output
    lines = shown.stdout.splitlines()
    assert lines[0] == "p: 200 votes of 10 raters on 3 sources, by bradley_terry"
    assert [line.split()[1] for line in lines[2:5]] == ["strong", "middle", "weak"]
    assert " to " in lines[2] and "only 10 clusters" in shown.stdout
    shown = CliRunner().invoke(app, ["feedback", "leaderboard", log, "--method", "elo"])
    assert [line.split()[0] for line in shown.stdout.splitlines()[2:5]] == ["1", "2", "3"]
    wrong = CliRunner().invoke(app, ["feedback", "leaderboard", log, "--method", "glicko"])
    assert "expected bradley_terry, plackett_luce" in str(wrong.exception)
