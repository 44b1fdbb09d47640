"""From one version of the tables to the next, in the transaction that opens the store."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, Index, inspect, select

from plaudit.store import schema

Migration = Callable[[Connection], None]

_TALLIES = (
    schema.tally_mark,
    schema.tally_suspended,
    schema.vote,
    schema.rater_tally,
    schema.pattern_tally,
)


def _add_tallies(connection: Connection) -> None:
    """Empty ones; they catch up with the log when they are first read."""
    schema.METADATA.create_all(connection, tables=_TALLIES)


def _index_open_leases_alone(connection: Connection) -> None:
    _make_anew(connection, schema.LEASES)


def _make_anew(connection: Connection, index: Index) -> None:
    connection.exec_driver_sql(f"DROP INDEX IF EXISTS {index.name}")
    index.create(connection)


def _leave_out_suspended(connection: Connection) -> None:
    """Their votes were counted with the others' up to then."""
    member = schema.member
    suspended = select(member.c.project, member.c.rater).where(member.c.suspended_at.is_not(None))
    item, assignment = schema.item, schema.assignment
    for project, rater in connection.execute(suspended).all():
        judged = select(assignment.c.item).where(
            assignment.c.project == project, assignment.c.rater == rater,
            assignment.c.state == "judged", assignment.c.turn == 0,
        )  # fmt: skip
        votes = item.c.votes - 1
        wants_more = (votes < item.c.target_votes) & ~item.c.is_gold
        connection.execute(
            item.update().where(item.c.number.in_(judged)).values(votes=votes, is_open=wants_more)
        )


def _add_declined(connection: Connection) -> None:
    schema.declined.create(connection, checkfirst=True)


def _say_how_far_suspensions_are_followed(connection: Connection) -> None:
    """Whoever was left out is so everywhere."""
    there = {column["name"] for column in inspect(connection).get_columns("tally_suspended")}
    if "reached" not in there:  # the tables of version 2 are made as they are now
        connection.exec_driver_sql("ALTER TABLE tally_suspended ADD COLUMN reached VARCHAR")
    _make_anew(connection, schema.VOTES_OF_RATER)


def _index_what_settles(connection: Connection) -> None:
    _make_anew(connection, schema.SETTLING)


MIGRATIONS: dict[int, Migration] = {
    2: _add_tallies,
    3: _index_open_leases_alone,
    4: _leave_out_suspended,
    5: _index_open_leases_alone,  # by item
    6: _add_declined,
    7: _say_how_far_suspensions_are_followed,
    8: _index_what_settles,
}
"""By the version they lead to; a new store is made at the newest, without them."""


def migrate(connection: Connection, name: str) -> None:
    """Make the tables, or bring older ones to the version of this code.

    Raises:
        ValueError: the store is of a newer version, or no store at all.
    """
    found = _version(connection, name)
    if found is None:
        schema.METADATA.create_all(connection)
        connection.execute(schema.schema_version.insert().values(version=schema.VERSION))
        return
    if found > schema.VERSION:
        raise ValueError(
            f"{name}: its tables are of version {found}, this Plaudit knows up to "
            f"{schema.VERSION}; expected a Plaudit at least as new as the one that wrote it"
        )
    for version in range(found + 1, schema.VERSION + 1):
        MIGRATIONS[version](connection)
        connection.execute(schema.schema_version.update().values(version=version))


def _version(connection: Connection, name: str) -> int | None:
    tables = set(inspect(connection).get_table_names())
    if schema.schema_version.name in tables:
        return connection.execute(select(schema.schema_version.c.version)).scalar_one()
    if tables & set(schema.METADATA.tables):
        raise ValueError(f"{name}: has tables of these names, but is no store; choose another")
    return None
