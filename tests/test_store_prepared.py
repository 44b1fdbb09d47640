"""Prepared statements give what SQLAlchemy gives, on either database; none grows with the log."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import bindparam, select

from plaudit.feedback.assignment.answers import Sent
from plaudit.feedback.assignment.case import after, case_in
from plaudit.feedback.assignment.submission import submit_in
from plaudit.store import Appending, Store, Writer, schema
from plaudit.store.prepared import Prepared
from plaudit.store.turns import alone
from tests.collecting import LEFT, given, judge, made, pair, project

pytest_plugins = ("tests.postgres",)

TABLE = schema.rater
INSERT = Prepared(TABLE.insert().values({one.name: bindparam(one.name) for one in TABLE.c}))


def _add(store: Store, id: str, created_at: float) -> None:
    with store.writing() as connection:
        values = {"kind": "human", "version": "", "name": None, "erased_at": None}
        assert INSERT.run(connection, id=id, created_at=created_at, **values) == 1


def test_rows_are_those_of_sqlalchemy(store: Store) -> None:
    for place, id in enumerate(("a", "b'; DROP TABLE rater", "ü 50 % :id")):
        _add(store, id, float(place))
    is_late = (TABLE.c.created_at > bindparam("late")).label("is_late")
    ordered = select(TABLE.c.id, TABLE.c.name, is_late, sa.func.length(TABLE.c.id))
    query = ordered.where(TABLE.c.kind == "human", TABLE.c.created_at >= bindparam("since"))
    query = query.order_by(TABLE.c.created_at.desc()).limit(2)
    with store.reading() as connection:
        expected = connection.execute(query, {"since": 0.0, "late": 1.0}).all()
        found = Prepared(query).all(connection, since=0.0, late=1.0)
        assert found == [tuple(row) for row in expected] and len(found) == 2
        assert found[0].is_late is True and found[1].is_late is False and found[0].name is None
        assert Prepared(query).first(connection, since=0.0, late=1.0) == found[0]
        assert Prepared(query).scalar(connection, since=0.0, late=1.0) == "ü 50 % :id"
        assert Prepared(query).first(connection, since=9.0, late=1.0) is None


def test_a_parameter_may_stand_twice_and_none_be_left_out(store: Store) -> None:
    _add(store, "a", 1.0)
    twice = (TABLE.c.id == bindparam("x"), TABLE.c.id >= bindparam("x"))
    same = Prepared(select(TABLE.c.id).where(*twice))
    with store.reading() as connection:
        assert same.scalar(connection, x="a") == "a"
        with pytest.raises(Exception, match="x"):
            same.scalar(connection)


def test_it_is_part_of_the_transaction(store: Store) -> None:
    with pytest.raises(KeyError), store.writing() as connection:
        INSERT.run(
            connection, id="a", kind="human", version="", name=None, created_at=0.0, erased_at=None
        )
        raise KeyError
    with store.reading() as connection:
        assert Prepared(select(TABLE.c.id)).all(connection) == []


def test_a_text_that_grows_with_its_parameters_is_refused(store: Store) -> None:
    with store.reading() as connection, pytest.raises(AssertionError):
        Prepared(select(TABLE.c.id).where(TABLE.c.id.in_(["a", "b"]))).all(connection)


def test_a_judgment_and_the_next_task_cost_the_same_whatever_was_judged(tmp_path: Path) -> None:
    raters = [f"r{n}" for n in range(20)]
    config = project(overlap={"votes": 1, "adaptive": {"max_votes": 2}})
    store = made(tmp_path, config, [pair(f"i{n}") for n in range(400)], raters)
    with Writer(store) as writer:
        for rater in raters[:2]:
            _judge_some(store, writer, rater, 3)
        early = _steps(store, raters[0])
        for rater in raters:
            _judge_some(store, writer, rater, 20)
        late = _steps(store, raters[0])
    assert late < 1.2 * early, f"{early} steps of SQLite with 6 judgments, {late} with 400"


def _judge_some(store: Store, writer: Writer, rater: str, many: int) -> None:
    for _ in range(many):
        judge(writer, given(store, rater), rater)


def _steps(store: Store, rater: str) -> int:
    """Instructions of SQLite's machine, in tens, for a judgment and the task after it."""
    task, counted = given(store, rater), []
    with store.appending() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.set_progress_handler(lambda: counted.append(1), 10)
        log = Appending(connection)
        case = alone(case_in(log, task.id, rater, 2e9))
        submit_in(case, Sent(id=f"at {task.id}", answer=LEFT))
        alone(after(case))
        driver.set_progress_handler(None, 10)
    return len(counted)
