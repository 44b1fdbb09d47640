"""What stands between a file of judgments and the log: an item, and what was said of it.

A format reads rows into entries and writes entries into rows. Of each row a judgment keeps what
it was made of under ``raw``, by the format's name, so that written in that format again it is the
row that was read. Where one row holds several judgments, a judgment keeps its own part, and the
item the rest, under that name among its ``columns``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, NoReturn

from pydantic import ValidationError

from plaudit.formats.exchange.choices import ChoiceMap
from plaudit.formats.files import Row
from plaudit.judgments import (
    Answer,
    Candidate,
    Item,
    Judgment,
    Rater,
    canonical_json,
    fingerprint,
)
from plaudit.records import Messages, Text

UNKNOWN_TIME = datetime(1970, 1, 1, tzinfo=UTC)
"""When a judgment was made of which the source does not say when: the same in every import."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """How a file is to be read."""

    project: str
    pseudonym: Callable[[str], str] | None = None
    """What stands for a person's id; None leaves ids as they are."""
    trust_order: bool = False
    """Take a ranking's order for its ranks, where the source may have lost them."""
    choices: ChoiceMap = field(default_factory=ChoiceMap)
    question_types: Mapping[str, str] = field(default_factory=dict)
    """Of each question, where a file beside the rows says it."""

    def person(self, id: object) -> str:
        """The rater's id for what a source calls a person."""
        return self.pseudonym(str(id)) if self.pseudonym else str(id)

    def hidden(self, value: Any, *keys: str) -> Any:
        """A value in which pseudonyms stand under these keys, however deep."""
        if self.pseudonym is None:
            return value
        if isinstance(value, list):
            return [self.hidden(one, *keys) for one in value]
        if isinstance(value, dict):
            return {
                key: self.person(v) if key in keys and _is_id(v) else self.hidden(v, *keys)
                for key, v in value.items()
            }
        return value


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """An item with the judgments of it that stand together in a file."""

    item: Item
    judgments: tuple[Judgment, ...] = ()
    unread: tuple[str, ...] = ()
    """What a judgment has no place for: ``raw`` or ``columns`` hold it, or it is left out."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Of raters, by id, as the source names them."""
    where: str = ""
    scale: tuple[float, float] | None = None
    """The lowest and the highest mark that could be given, where that is known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """A row, and the judgments it says, in the order in which they are read from it."""

    value: dict[str, Any]
    says: tuple[Judgment, ...] = ()
    items: tuple[Item, ...] = ()


def make_item(
    row: Row, prompt: Text, candidates: Iterable[Candidate], *, id: object = None, **said: Any
) -> Item:
    """An item by its source's id, or else by a hash of its content.

    Raises:
        ValueError: a field is not what an item holds; the message has its file and line.
    """
    try:
        named = "?" if id is None else str(id)
        item = Item(id=named, prompt=prompt, candidates=tuple(candidates), **said)
    except ValidationError as error:
        refuse(row, error)
    return item if id is not None else item.model_copy(update={"id": fingerprint(item)[:16]})


def make_judgment(
    row: Row,
    reading: Reading,
    item: Item,
    answer: Answer,
    rater: Rater,
    *,
    format: str,
    raw: Any,
    native: object = "",
    **said: Any,
) -> Judgment:
    """A judgment whose id follows from the row, so that a file read twice gives it once.

    Raises:
        ValueError: a field is not what a judgment holds; the message has its file and line.
    """
    said.setdefault("submitted_at", UNKNOWN_TIME)
    named = [reading.project, format, item.id, fingerprint(item), canonical_json(rater)]
    named.append(str(native) or f"{canonical_json(answer)} {said['submitted_at'].isoformat()}")
    try:
        return Judgment(
            id=f"{format}-{hashlib.sha256(json.dumps(named).encode()).hexdigest()[:24]}",
            project=reading.project,
            item=item.id,
            item_sha256=fingerprint(item),
            question=item.question,
            rater=rater,
            answer=answer,
            raw={format: raw},
            **said,
        )
    except ValidationError as error:
        refuse(row, error)


def write_rows(
    entries: Iterable[Entry], format: str, make: Callable[[Item, Judgment], dict[str, Any] | None]
) -> Iterator[Written]:
    """A row a judgment: the one it was read from, or a new one where ``make`` can say it."""
    for entry in entries:
        for judgment in entry.judgments:
            own = judgment.raw.get(format)
            row = dict(own) if isinstance(own, dict) else make(entry.item, judgment)
            if row is not None:
                yield Written(value=row, says=(judgment,), items=(entry.item,))


def told_apart(entries: Iterable[Entry]) -> Iterator[Entry]:
    """The entries of a file, a judgment that stands there again under an id of its own.

    Raises:
        ValueError: one id stands for two different items.
    """
    seen: dict[str, int] = {}
    items: dict[str, str] = {}
    for entry in entries:
        sha256 = fingerprint(entry.item)
        if items.setdefault(entry.item.id, sha256) != sha256:
            raise ValueError(
                f"{entry.where}: item {entry.item.id} stands earlier with another content; "
                "expected one id for one item"
            )
        judgments = []
        for judgment in entry.judgments:
            seen[judgment.id] = seen.get(judgment.id, 0) + 1
            again = f"-{seen[judgment.id]}" if seen[judgment.id] > 1 else ""
            judgments.append(judgment.model_copy(update={"id": judgment.id + again}))
        yield replace(entry, judgments=tuple(judgments))


def refuse(row: Row, error: ValidationError) -> NoReturn:
    """A record's own refusal, with the row's place."""
    fault = error.errors()[0]
    place = ".".join(map(str, fault["loc"]))
    row.fail(f"{place} is {fault['input']!r:.60}".removeprefix(" is "), fault["msg"])


def time_of(row: Row, key: str, value: Any) -> datetime:
    """A time written as ISO 8601 or as seconds since 1970; ``UNKNOWN_TIME`` where there is none.

    Raises:
        ValueError: it is neither.
    """
    if value in (None, ""):
        return UNKNOWN_TIME
    try:
        if isinstance(value, str):
            time = datetime.fromisoformat(value)
            return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
        return datetime.fromtimestamp(value, tz=UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        row.fail(
            f"{key} is {value!r:.60}", "a time as 2026-01-31T12:00:00Z or in seconds since 1970"
        )


def written_time(time: datetime) -> str:
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def written_text(content: Text) -> Any:
    """Text as it stands, messages as a list of OpenAI's objects."""
    return content if isinstance(content, str) else written_messages(content)


def written_messages(messages: Messages) -> list[dict[str, Any]]:
    return [
        {"role": message.role, "content": message.content}
        | (
            {
                "tool_calls": [
                    {"type": "function", "function": call.model_dump(mode="json")}
                    for call in message.tool_calls
                ]
            }
            if message.tool_calls
            else {}
        )
        for message in messages
    ]


def _is_id(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool) and value != ""
