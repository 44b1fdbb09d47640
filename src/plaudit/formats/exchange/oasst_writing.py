"""OpenAssistant's trees from items and judgments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from plaudit.formats.exchange.entries import UNKNOWN_TIME, Entry, Written, written_time
from plaudit.formats.exchange.oasst import NAME
from plaudit.judgments import Item, Judgment, Pairwise, Ranked, Skipped
from plaudit.records import Messages


def write(entries: Iterable[Entry]) -> Iterator[Written]:
    """The trees that were read, and else one for each item that has merged ranks.

    A person's ranking is an event beside merged ranks, never ranks of its own.
    """
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(str(_place(entry.item).get("tree", entry.item.id)), []).append(entry)
    for group in groups.values():
        rows = _place(group[0].item).get("rows", [])
        if rows and _is_whole(group):
            said = {entry.item.id: _said(entry) for entry in group}
            says = tuple(judgment for judgments in said.values() for judgment in judgments)
            first, *others = (_with_events(row, said) for row in rows)
            yield Written(value=first, says=says, items=tuple(entry.item for entry in group))
            yield from (Written(value=row) for row in others)
        else:
            yield from (tree for entry in group if (tree := _tree(entry)))


def _place(item: Item) -> Mapping[str, Any]:
    found = item.columns.get(NAME)
    return found if isinstance(found, dict) else {}


def _merged(entry: Entry) -> Judgment | None:
    return next((j for j in entry.judgments if j.rater.id == NAME and _ranks(j)), None)


def _is_whole(group: Sequence[Entry]) -> bool:
    return len(group) == _place(group[0].item)["items"] and all(map(_merged, group))


def _said(entry: Entry) -> list[Judgment]:
    merged = _merged(entry)
    others = [j for j in entry.judgments if j is not merged and _event(j, {}) is not None]
    return [*([merged] if merged else []), *others]


def _with_events(value: Any, said: Mapping[str, Sequence[Judgment]]) -> Any:
    """A row with each person's ranking under the message that they ranked the replies to."""
    if isinstance(value, list):
        return [_with_events(one, said) for one in value]
    if not isinstance(value, dict):
        return value
    row = {key: _with_events(v, said) for key, v in value.items()}
    judgments = said.get(str(value.get("message_id")), ())[1:]
    if judgments:
        row["events"] = (row.get("events") or {}) | {"ranking": [_event(j, {}) for j in judgments]}
    return row


def _tree(entry: Entry) -> Written | None:
    merged, item = _merged(entry), entry.item
    if merged is None or isinstance(item.prompt, str):
        return None
    ranks = _ranks(merged)
    ids = [f"{item.id}-{place}" for place in range(len(ranks))]
    replies = []
    for id, rank, candidate in zip(ids, ranks, item.candidates, strict=True):
        if isinstance(candidate.content, str) or len(candidate.content) != 1:
            return None
        reply = _message(id, item.id, candidate.content)
        replies.append(reply | {"rank": rank - 1, "model_name": candidate.source or None})
    said = _said(entry)
    events = [_event(j, dict(enumerate(ids))) for j in said[1:]]
    branch = _message(item.id, None, item.prompt[-1:]) | {"replies": replies}
    branch |= {"events": {"ranking": events}} if events else {}
    branch |= {"lang": item.stratum} if item.stratum else {}
    for place in range(len(item.prompt) - 2, -1, -1):
        above = f"{item.id}-above-{place}"
        branch["parent_id"] = above
        branch = _message(above, None, item.prompt[place : place + 1]) | {"replies": [branch]}
    row = {"message_tree_id": branch["message_id"], "tree_state": "ready_for_export"}
    return Written(value=row | {"prompt": branch}, says=tuple(said), items=(item,))


def _message(id: str, parent: str | None, messages: Messages) -> dict[str, Any]:
    (message,) = messages
    role = "prompter" if message.role == "user" else "assistant"
    return {"message_id": id, "parent_id": parent, "text": message.content, "role": role}


def _ranks(judgment: Judgment) -> tuple[int, ...]:
    match judgment.answer:
        case Ranked(ranks=ranks):
            return ranks
        case Pairwise(strength=strength, both_bad=False):
            return (1 + (strength > 0), 1 + (strength < 0))
    return ()


def _event(judgment: Judgment, ids: Mapping[int, str]) -> dict[str, Any] | None:
    """A person's ranking; none of ties, and none of candidates whose ids are not known."""
    own = judgment.raw.get(NAME)
    if isinstance(own, dict) and "type" in own:
        return own
    ranks = _ranks(judgment)
    is_skip = isinstance(judgment.answer, Skipped)
    if not is_skip and (len(set(ranks)) != len(ranks) or not ranks):
        return None
    order = sorted(range(len(ranks)), key=ranks.__getitem__)
    time = judgment.submitted_at
    return {
        "type": "ranking",
        "user_id": judgment.rater.id,
        **({} if time == UNKNOWN_TIME else {"created_date": written_time(time)}),
        "ranking": order,
        "ranked_message_ids": [ids.get(place, "") for place in order],
        "not_rankable": is_skip,
    }
