"""Tallies: by hand on a few votes, and equal to a plain count of what stands, however it came."""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import timedelta
from itertools import combinations

import pytest
from sqlalchemy import select, text

from plaudit.judgments import (
    ADJUDICATED,
    Labelled,
    Pairwise,
    Ranked,
    Rated,
    Rater,
    Skipped,
    Stepped,
    Withdrawn,
)
from plaudit.store import (
    Pattern,
    Store,
    add_items,
    append,
    catch_up,
    erase_rater,
    most_disputed,
    open_store,
    patterns,
    patterns_by_day,
    put_project,
    rater_tallies,
    rebuild_tallies,
    schema,
    standing,
)
from plaudit.store.migrations import MIGRATIONS
from plaudit.store.tallies import catching_up
from plaudit.store.turns import alone
from plaudit.store.votes import is_right
from tests.voting import NOON, a_judgment, an_item

pytest_plugins = ("tests.postgres",)

DAY = int(NOON.timestamp()) // 86_400


@pytest.fixture
def project(store: Store) -> Store:
    put_project(store, "p", "{}")
    items = [
        an_item(f"i{n}", stratum="ab"[n % 2], gold=Pairwise(strength=2) if n % 5 == 0 else None)
        for n in range(1, 21)
    ]
    add_items(store, "p", items, target_votes=3)
    return store


def test_a_few_votes_by_hand(project: Store) -> None:
    """i1: r1 prefers the first (on the left), r2 the second (longer, on the left), r3 ties."""
    votes = [
        a_judgment("a", rater="r1", active_seconds=4.0),
        a_judgment("b", rater="r2", answer=Pairwise(strength=3), shown=(1, 0)),
        a_judgment("c", rater="r3", answer=Pairwise(strength=0, both_bad=True)),
        a_judgment("d", rater="r1", item="i5", answer=Pairwise(strength=1)),
        a_judgment("e", rater="r2", item="i5", answer=Pairwise(strength=3), active_seconds=None),
        a_judgment("f", rater="r1", item="i1", is_repeat=True, answer=Pairwise(strength=-3)),
        a_judgment("g", rater="r3", item="i2", answer=Skipped(reason="unclear")),
    ]
    append(project, votes)
    found = {tally.rater: tally for tally in rater_tallies(_whole(project), "p", "overall")}
    assert found["r1"].counts == {
        "judgments": 3, "left": 2, "right": 1, "longer": 1, "shorter": 2, "gold_asked": 1,
        "gold_right": 1, "timed": 3, "milliseconds": 8000, "compared": 3, "agreed": 1,
        "repeated": 1, "repeated_alike": 1,
    }  # fmt: skip
    assert found["r1"].seconds_bins == {4: 2, 8: 1}
    assert found["r2"].counts == {
        "judgments": 2, "left": 1, "right": 1, "longer": 2, "gold_asked": 1, "gold_right": 1,
        "timed": 1, "milliseconds": 2000, "compared": 3, "agreed": 1,
    }  # fmt: skip
    assert found["r3"].counts == {
        "judgments": 1, "both_bad": 1, "skips": 1, "timed": 2, "milliseconds": 4000, "compared": 2,
    }  # fmt: skip
    assert _labels(patterns(_whole(project), "p", "overall")) == [
        '{"-1":1,"3":1,"bad":1}', '{"1":1,"3":1}',
    ]  # fmt: skip
    disputed = most_disputed(_whole(project), "p", limit=2)
    assert [(entry.item.id, entry.disagreement) for entry in disputed] == [("i1", 1.0)]


def test_patterns_are_by_criterion_stratum_panel_and_day(project: Store) -> None:
    marks, more = {"helpful": (2.0, 4.0)}, {"helpful": (2.0, 5.0)}
    late = NOON + timedelta(days=2)
    machine = a_judgment("d").model_copy(update={"rater": Rater(id="j", kind="judge")})
    append(project, [a_judgment("a", criteria=marks), a_judgment("b", "i2", criteria=marks)])
    append(project, [a_judgment("c", "i2", "r2", submitted_at=late, criteria=more), machine])
    assert _labels(patterns(_whole(project), "p", "overall", criterion="helpful")) == [
        '{"2":1}', '{"2":2}', '{"4":1,"5":1}', '{"4":1}',
    ]  # fmt: skip
    assert _labels(patterns(_whole(project), "p", "overall", stratum="a")) == ['{"-1":2}']
    assert _labels(patterns(_whole(project), "p", "overall", panel="machines")) == ['{"-1":1}']
    assert _labels(patterns(_whole(project), "p", "overall", days=(DAY, DAY + 1))) == ['{"-1":1}']
    days = patterns_by_day(_whole(project), "p", "overall")
    assert {day: _labels(found) for day, found in days.items()} == {
        DAY: ['{"-1":1}'], DAY + 2: ['{"-1":2}'],
    }  # fmt: skip


def test_who_settles_an_item_is_compared_with_nobody(project: Store) -> None:
    """The adjudicator has seen the others' votes."""
    settled = a_judgment("b", rater="r2", answer=Pairwise(strength=2), flags=(ADJUDICATED,))
    append(project, [a_judgment("a"), settled])
    found = {tally.rater: tally.counts for tally in rater_tallies(_whole(project), "p", "overall")}
    assert "compared" not in found["r1"] and "compared" not in found["r2"]
    assert _labels(patterns(_whole(project), "p", "overall")) == ['{"-1":1}']


def _whole(store: Store) -> Store:
    assert catch_up(store)
    return store


def _labels(found: Iterable[Pattern]) -> list[str]:
    return sorted(
        json.dumps(p.labels, separators=(",", ":")) for p in found for _ in range(p.units)
    )


@pytest.mark.parametrize("seed", [1, 2])
def test_tallies_are_a_plain_count_of_what_stands(project: Store, seed: int) -> None:
    for step in _history(project, random.Random(seed)):
        append(project, step.judgments)
        _suspend(project, step.suspended)
        assert _tallied(project) == _counted(project, step.suspended)
    kept = _dump(project)
    rebuild_tallies(project)
    assert _dump(project) == kept and len(kept) > 50


def test_who_is_erased_is_counted_no_more(project: Store) -> None:
    append(project, [a_judgment(f"{r}{n}", f"i{n}", r) for r in ("r1", "r2") for n in range(1, 9)])
    catch_up(project)
    erase_rater(project, "r1", by="lead")
    assert _tallied(project) == _counted(project, set())
    kept = _dump(project)
    rebuild_tallies(project)
    assert _dump(project) == kept
    assert {tally.rater for tally in rater_tallies(_whole(project), "p")} == {"r2"}


def test_tallies_are_folded_in_many_pieces(project: Store, monkeypatch) -> None:
    monkeypatch.setattr("plaudit.store.tallies._AT_ONCE", 7)
    for step in _history(project, random.Random(5)):
        append(project, step.judgments)
    assert _tallied(project) == _counted(project, set())


@pytest.mark.parametrize("seed", range(4))
def test_a_suspension_may_be_followed_in_pieces_and_taken_back(
    project: Store, seed: int, monkeypatch
) -> None:
    """Some items at a time, with votes coming and raters suspended and back in between."""
    draw, halfway = random.Random(seed), 0
    for step in _history(project, draw):
        append(project, step.judgments)
        _suspend(project, step.suspended)
        for _ in range(draw.randrange(12)):
            with project.appending() as connection:
                alone(catching_up(connection, 3, 2))
        halfway += any(reached is not None for reached in _reached(project))
    assert halfway > 1
    monkeypatch.setattr("plaudit.store.tallies._ITEMS_AT_ONCE", 4)
    assert _tallied(project) == _counted(project, step.suspended)
    assert _reached(project) == [None] * len(step.suspended)
    kept = _dump(project)
    rebuild_tallies(project)
    assert _dump(project) == kept


def test_no_large_table_is_read_from_end_to_end(project: Store) -> None:
    """At size each of these would keep who records waiting for seconds."""
    if project.engine.dialect.name != "sqlite":
        pytest.skip("its planner reads small tables whole")
    append(project, [a_judgment(f"{r}{n}", f"i{n}", r) for r in ("r1", "r2") for n in range(1, 9)])
    catch_up(project)
    append(project, [a_judgment("new", "i3", "r1", supersedes="r13")])
    _suspend(project, {"r1"})
    asked: list[str] = []
    with project.appending() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.set_trace_callback(asked.append)
        alone(catching_up(connection, 9, 9))
        driver.set_trace_callback(None)
        plans = {
            str(row[3])
            for statement in asked
            if statement.startswith(("SELECT", "UPDATE", "DELETE"))
            for row in driver.execute(f"EXPLAIN QUERY PLAN {statement}")
        }
    assert any("vote_of_item" in plan for plan in plans)
    assert not [plan for plan in plans if plan.split()[:2] in SCANS], plans


SCANS = [["SCAN", table] for table in ("vote", "item", "judgment")]


def test_who_has_no_time_is_told_that_something_is_left(project: Store) -> None:
    append(project, [a_judgment("a"), a_judgment("b", rater="r2")])
    assert not catch_up(project, most_seconds=0)
    assert not rater_tallies(project, "p")
    assert catch_up(project, most_seconds=10) and catch_up(project, most_seconds=0)
    assert len(rater_tallies(project, "p")) == 2


def _reached(store: Store) -> list[str | None]:
    with store.reading() as connection:
        return [*connection.execute(select(schema.tally_suspended.c.reached)).scalars()]


def test_whom_an_older_store_left_out_is_left_out_everywhere(project: Store, store_url) -> None:
    append(project, [a_judgment(f"{r}{n}", f"i{n}", r) for r in ("r1", "r2") for n in range(1, 9)])
    _suspend(project, {"r1"})
    catch_up(project)
    kept = _dump(project)
    with project.writing() as connection:
        connection.execute(text("ALTER TABLE tally_suspended DROP COLUMN reached"))
        connection.execute(text("UPDATE schema_version SET version = 6"))
    project.close()
    again = open_store(store_url)
    catch_up(again)
    assert _reached(again) == [None] and _dump(again) == kept
    again.close()


def test_an_older_store_gets_its_tallies(store_url: str) -> None:
    store = open_store(store_url)
    put_project(store, "p", "{}")
    append(store, [a_judgment("a"), a_judgment("b", rater="r2")])
    tables = ("tally_mark", "tally_suspended", "vote", "rater_tally", "pattern_tally")
    with store.writing() as connection:
        for table in tables:
            connection.execute(text(f"DROP TABLE {table}"))
        connection.execute(text("UPDATE schema_version SET version = 1"))
    store.close()
    again = open_store(store_url)
    assert [tally.counts["agreed"] for tally in rater_tallies(_whole(again), "p")] == [1, 1]
    with again.reading() as connection:
        version = connection.execute(select(schema.schema_version.c.version)).scalar()
    assert version == schema.VERSION == max(MIGRATIONS)
    again.close()


def test_the_median_time_is_within_a_tenth(project: Store) -> None:
    draw = random.Random(2)
    times = sorted(draw.lognormvariate(3, 1) for _ in range(401))
    append(project, [a_judgment(f"j{n}", f"i{n}", active_seconds=t) for n, t in enumerate(times)])
    tally = rater_tallies(_whole(project), "p")[0]
    for share in (0.1, 0.5, 0.9):
        assert tally.seconds_quantile(share) == pytest.approx(times[int(400 * share)], rel=0.1)


RIGHT_WRONG = Stepped(labels=("right", "wrong", None))


@pytest.mark.parametrize(
    ("answer", "gold", "right"),
    [
        (Pairwise(strength=1), Pairwise(strength=3), True),
        (Pairwise(strength=0), Pairwise(strength=0, both_bad=True), True),
        (Pairwise(strength=-1), Pairwise(strength=1), False),
        (Labelled(label="safe"), Labelled(label="safe"), True),
        (Ranked(ranks=(1, 2, 2)), Ranked(ranks=(1, 2, 3)), False),
        (Ranked(ranks=(1, 3, 3)), Ranked(ranks=(1, 2, 2)), True),
        (Rated(values=(1.0, None)), Rated(values=(1.0, None)), True),
        (Rated(values=(1.0, 5.0)), Rated(values=(1.0, None)), True),
        (Rated(values=(None, 5.0)), Rated(values=(5.0, None)), False),
        (RIGHT_WRONG, Stepped(labels=("right", "wrong", "wrong")), True),
        (RIGHT_WRONG, Stepped(labels=("right", "right", "wrong")), False),
        (Labelled(label="1"), Pairwise(strength=1), False),
    ],
)
def test_what_a_gold_answer_accepts(answer, gold, right: bool) -> None:
    assert is_right(answer, gold) is right


class _Step:
    def __init__(self, judgments: list, suspended: set[str]) -> None:
        self.judgments, self.suspended = judgments, suspended


def _history(store: Store, draw: random.Random) -> list[_Step]:
    """Votes of six raters in any order, some replaced, withdrawn, skipped or asked again."""
    standing_ids: dict[tuple[str, str, bool], str] = {}
    steps, number = [], 0
    for _ in range(6):
        judgments = []
        for _ in range(40):
            number += 1
            key = (f"r{draw.randrange(6)}", f"i{draw.randrange(1, 21)}", draw.random() < 0.1)
            old = standing_ids.pop(key, "")
            answer = Pairwise(strength=draw.randint(-3, 3))
            if draw.random() < 0.1:
                answer = Skipped(reason="unclear")
            if old and draw.random() < 0.4:
                answer = Withdrawn()
            else:
                standing_ids[key] = f"j{number}"
            late = NOON + timedelta(hours=draw.randrange(72))
            given = {"submitted_at": late, "is_repeat": key[2], "supersedes": old}
            judgments.append(a_judgment(f"j{number}", key[1], key[0], answer=answer, **given))
        steps.append(_Step(judgments, {f"r{n}" for n in range(6) if draw.random() < 0.3}))
    return steps


def _suspend(store: Store, raters: set[str]) -> None:
    with store.writing() as connection:
        connection.execute(schema.member.delete())
        connection.execute(schema.rater.delete())
        for rater in sorted(raters):
            row = {"id": rater, "kind": "human", "version": "", "created_at": 0.0}
            connection.execute(schema.rater.insert(), row)
            member = {"project": "p", "rater": rater, "role": "rater", "suspended_at": 1.0}
            connection.execute(schema.member.insert(), member)


def _tallied(store: Store):
    raters = {
        tally.rater: {key: tally.counts.get(key, 0) for key in _COUNTED}
        for tally in rater_tallies(_whole(store), "p", "overall")
    }
    found = Counter()
    for day, days in patterns_by_day(_whole(store), "p", "overall").items():
        found |= {(day, tuple(sorted(p.labels.items()))): p.units for p in days}
    disputed = {
        entry.item.id: entry.disagreement for entry in most_disputed(_whole(store), "p", 99)
    }
    return raters, found, disputed


_COUNTED = ("judgments", "skips", "tie", "left", "right", "compared", "agreed", "repeated_alike")


def _counted(store: Store, suspended: set[str]):
    """The same from what stands, without a thought for speed."""
    votes = list(standing(store, "p", with_suspended=True))
    raters = {vote.rater.id: dict.fromkeys(_COUNTED, 0) for vote in votes}
    on_item = defaultdict(list)
    for vote in votes:
        counts, answer = raters[vote.rater.id], vote.answer
        counts["skips" if isinstance(answer, Skipped) else "judgments"] += 1
        if isinstance(answer, Pairwise):
            on_item[vote.item].append(vote)
            sign = (answer.strength > 0) - (answer.strength < 0)
            counts[{0: "tie", -1: "left", 1: "right"}[sign]] += 1
    found, disputed = Counter(), {}
    for item, all_votes in on_item.items():
        firsts = [vote for vote in all_votes if not vote.is_repeat]
        for one, other in combinations(firsts, 2):
            for vote, peer in ((one, other), (other, one)):
                if peer.rater.id not in suspended:
                    raters[vote.rater.id]["compared"] += 1
                    raters[vote.rater.id]["agreed"] += is_right(vote.answer, peer.answer)
        for vote in all_votes:
            first = [v for v in firsts if v.rater == vote.rater]
            if vote.is_repeat and first:
                raters[vote.rater.id]["repeated_alike"] += is_right(vote.answer, first[0].answer)
        kept = [vote for vote in firsts if vote.rater.id not in suspended]
        if kept:
            labels = Counter(str(vote.answer.strength) for vote in kept)
            day = max(int(vote.submitted_at.timestamp()) // 86_400 for vote in kept)
            found[day, tuple(sorted(labels.items()))] += 1
        pairs = [not is_right(a.answer, b.answer) for a, b in combinations(kept, 2)]
        if any(pairs):
            disputed[item] = sum(pairs) / len(pairs)
    return raters, found, disputed


def _dump(store: Store) -> set[tuple]:
    with store.reading() as connection:
        tallies = [
            row
            for table in (schema.rater_tally, schema.pattern_tally)
            for row in connection.execute(select(table))
            if row[-1] != 0
        ]
        votes = connection.execute(select(schema.vote)).all()
        items = connection.execute(select(schema.item.c.id, schema.item.c.disagreement)).all()
    return {tuple(row) for row in [*tallies, *votes, *items]}
