"""The tables. What is in ``judgment`` is written once; everything else can be made anew from it
and from what the leads set up.

Times are seconds since 1970, UTC. JSON stands as text, so that both databases keep it as written.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    literal_column,
)

from plaudit.judgments import ADJUDICATED

VERSION = 8
METADATA = MetaData()
# SQLite numbers rows by itself only where the key is its INTEGER.
_NUMBER = BigInteger().with_variant(Integer, "sqlite")

schema_version = Table("schema_version", METADATA, Column("version", Integer, primary_key=True))

project = Table(
    "project",
    METADATA,
    Column("id", String, primary_key=True),
    Column("config", Text, nullable=False),
    Column("secret", String, nullable=False),  # orders of candidates are drawn from it
    Column("created_at", Float, nullable=False),
)

guideline = Table(
    "guideline",
    METADATA,
    Column("project", ForeignKey("project.id"), primary_key=True),
    Column("version", String, primary_key=True),
    Column("text", Text, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("created_at", Float, nullable=False),
)

item = Table(
    "item",
    METADATA,
    Column("number", _NUMBER, primary_key=True, autoincrement=True),
    Column("project", ForeignKey("project.id"), nullable=False),
    Column("id", String, nullable=False),
    Column("question", String, nullable=False),
    Column("stratum", String, nullable=False, default=""),
    Column("priority", Integer, nullable=False, default=0),
    Column("content", Text, nullable=False),  # the Item, as `written_json` has it
    Column("sha256", String(64), nullable=False),
    Column("is_gold", Boolean, nullable=False, default=False),
    Column("target_votes", Integer, nullable=False),  # rises where votes disagree
    Column("votes", Integer, nullable=False, default=0),  # that stand, without skips and suspended
    Column("is_open", Boolean, nullable=False, default=True),  # wants more votes
    Column("disagreement", Float, nullable=False, default=0.0),  # 0 all alike, to 1; a tally
    UniqueConstraint("project", "id"),
)
Index(
    "item_queue",
    item.c.project, item.c.is_open, item.c.priority.desc(), item.c.votes.desc(), item.c.number,
)  # fmt: skip
Index("item_disagreement", item.c.project, item.c.disagreement.desc(), item.c.number)

rater = Table(
    "rater",
    METADATA,
    Column("id", String, primary_key=True),  # drawn at random; says nothing of the person
    Column("kind", String, nullable=False),
    Column("version", String, nullable=False, default=""),
    Column("name", String),  # of the person; erased on request
    Column("created_at", Float, nullable=False),
    Column("erased_at", Float),
)

member = Table(
    "member",
    METADATA,
    Column("project", ForeignKey("project.id"), primary_key=True),
    Column("rater", ForeignKey("rater.id"), primary_key=True),
    Column("role", String, nullable=False),  # lead, adjudicator, rater
    Column("suspended_at", Float),
    Column("queue", String, nullable=False, default=""),  # stratum they alone are given, or empty
)

declined = Table(
    "declined",
    METADATA,
    Column("project", ForeignKey("project.id"), primary_key=True),
    Column("rater", ForeignKey("rater.id"), primary_key=True),
    Column("stratum", String, primary_key=True),  # which they would rather not see
)

token = Table(
    "token",
    METADATA,
    Column("hash", String(64), primary_key=True),  # SHA-256; the token itself is nowhere
    Column("purpose", String, nullable=False),  # invite, session, api
    Column("rater", ForeignKey("rater.id")),  # none in an invite
    Column("project", ForeignKey("project.id")),
    Column("role", String),
    Column("uses_left", Integer),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float),
    Column("revoked_at", Float),
)

assignment = Table(
    "assignment",
    METADATA,
    Column("id", String, primary_key=True),
    Column("project", ForeignKey("project.id"), nullable=False),
    Column("item", ForeignKey("item.number"), nullable=False),
    Column("rater", ForeignKey("rater.id"), nullable=False),
    Column("turn", Integer, nullable=False, default=0),  # 1 when asked again, for consistency
    Column("state", String, nullable=False),  # open, judged, skipped, expired, declined
    Column("shown", String, nullable=False),  # "1,0": candidates in the order shown
    Column("opened_at", Float, nullable=False),
    Column("leased_until", Float, nullable=False),
    Column("closed_at", Float),
    Column("judgment", String),  # the one that stands
    UniqueConstraint("item", "rater", "turn"),
)
Index("assignment_of_rater", assignment.c.project, assignment.c.rater, assignment.c.state)
# Of the open ones alone. One by state would be what SQLite takes for every query that says which
# state it wants, and most assignments are judged.
LEASES = Index(
    "assignment_lease",
    assignment.c.item, assignment.c.leased_until,
    sqlite_where=assignment.c.state == "open",
    postgresql_where=assignment.c.state == "open",
)  # fmt: skip

draft = Table(
    "draft",
    METADATA,
    Column("assignment", ForeignKey("assignment.id"), primary_key=True),
    Column("body", Text, nullable=False),
    Column("saved_at", Float, nullable=False),
)

judgment = Table(
    "judgment",
    METADATA,
    Column("seq", _NUMBER, primary_key=True, autoincrement=False),  # 1, 2, 3, ... without a gap
    Column("id", String, nullable=False, unique=True),
    Column("project", String, nullable=False),
    Column("recorded_at", Float, nullable=False),
    Column("body_sha256", String(64), nullable=False),  # of salt and body
    Column("previous_sha256", String(64), nullable=False),
    Column("sha256", String(64), nullable=False),  # of all of the above
    # Beside the chain: erased on request, and the chain still holds.
    Column("salt", String(32)),
    Column("body", Text),  # the Judgment, as `written_json` has it
    Column("rater", String),
    Column("item", String),
    Column("supersedes", String, unique=True),  # the judgment that it replaces
)
Index("judgment_of_project", judgment.c.project, judgment.c.seq)
Index("judgment_of_rater", judgment.c.rater, judgment.c.project)
Index("judgment_of_item", judgment.c.project, judgment.c.item)
# In JSON a quote within a text stands behind a backslash. Written out, since no database takes an
# index of some rows alone for a condition that it does not know yet.
SETTLES = judgment.c.body.like(literal_column(f"""'%"flags":["{ADJUDICATED}"%'"""))
SETTLING = Index(
    "judgment_settling",
    judgment.c.project, judgment.c.item, sqlite_where=SETTLES, postgresql_where=SETTLES,
)  # fmt: skip

event = Table(
    "event",
    METADATA,
    Column("number", _NUMBER, primary_key=True, autoincrement=True),
    Column("project", String, nullable=False),
    Column("rater", String, nullable=False),  # who did it
    Column("kind", String, nullable=False),  # opened, blurred, undone, suspended, resumed, erased
    Column("detail", Text, nullable=False, default="{}"),
    Column("at", Float, nullable=False),
)
Index("event_of_project", event.c.project, event.c.kind, event.c.number)

export = Table(
    "export",
    METADATA,
    Column("id", String, primary_key=True),
    Column("project", ForeignKey("project.id"), nullable=False),
    Column("last_seq", BigInteger, nullable=False),  # judgments up to here
    Column("manifest", Text, nullable=False),
    Column("created_at", Float, nullable=False),
)

model = Table(
    "model",
    METADATA,
    Column("sha256", String(64), primary_key=True),
    Column("export", ForeignKey("export.id"), primary_key=True),
    Column("path", String, nullable=False),
    Column("recorded_at", Float, nullable=False),
)

# What dashboards read, kept up with the log as far as ``tally_mark`` says, and made anew from it.

tally_mark = Table(
    "tally_mark",
    METADATA,
    Column("name", String, primary_key=True),  # of what is kept up: votes
    Column("seq", BigInteger, nullable=False),
)

vote = Table(
    "vote",
    METADATA,
    Column("seq", _NUMBER, primary_key=True, autoincrement=False),  # of a judgment that stands
    Column("project", String, nullable=False),
    Column("item", String, nullable=False),
    Column("rater", String, nullable=False),
    Column("facts", Text, nullable=False),
)
Index("vote_of_item", vote.c.project, vote.c.item)
VOTES_OF_RATER = Index("vote_of_rater", vote.c.rater, vote.c.project, vote.c.item)

tally_suspended = Table(
    "tally_suspended",
    METADATA,
    Column("project", String, primary_key=True),
    Column("rater", String, primary_key=True),  # nobody's peer, in the tallies as they are
    Column("reached", String),  # on items up to this one, in the order of bytes; all where null
)

rater_tally = Table(
    "rater_tally",
    METADATA,
    Column("project", String, primary_key=True),
    Column("question", String, primary_key=True),
    Column("rater", String, primary_key=True),
    Column("measure", String, primary_key=True),
    Column("many", BigInteger, nullable=False),
)

pattern_tally = Table(
    "pattern_tally",
    METADATA,
    Column("project", String, primary_key=True),
    Column("question", String, primary_key=True),
    Column("criterion", String, primary_key=True),  # empty for the answer itself
    Column("panel", String, primary_key=True),  # people or machines
    Column("stratum", String, primary_key=True),
    Column("day", Integer, primary_key=True),  # since 1970, of the last vote
    Column("pattern", String, primary_key=True),  # {"-1":2,"2":1}: how many gave which label
    Column("units", BigInteger, nullable=False),  # items, or their candidates or steps
)
