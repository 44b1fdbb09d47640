"""OpenAssistant (Koepf et al. 2023): messages, threads and trees; ranks and ranking events.

- a tree: ``{"message_tree_id", "tree_state", "prompt": {"message_id", "text", "role", "rank",
  "replies": [...]}}``
- a thread: ``{"thread_id", "thread": [messages from the first on]}``
- a message: ``{"message_id", "parent_id", "text", "role": "prompter|assistant", "rank"}``, perhaps
  with its replies

An item is the replies to one message that have a rank (0 is the best), after all that was said
before. Their ranks are one judgment, in which those of many people were merged; each of the
message's ranking events is one more. What was never ranked becomes no item. The rows of a tree
stand among the columns of its first item, but for the events.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from plaudit.formats.exchange.entries import Entry, Reading, make_item, make_judgment, time_of
from plaudit.formats.exchange.oasst_trees import MESSAGE, Node, grouped, ranked_replies
from plaudit.formats.files import Row
from plaudit.formats.messages import shown
from plaudit.judgments import Answer, Candidate, Item, Judgment, Pairwise, Ranked, Rater, Skipped
from plaudit.records import Message, Messages

NAME = "oasst"
EVENT = '{"type": "ranking", "user_id", "ranked_message_ids": [the best first], "not_rankable"}'


def fits(value: Mapping[str, Any]) -> bool:
    return any(
        all(key in value for key in keys)
        for keys in (("message_tree_id", "prompt"), ("thread_id", "thread"), ("message_id", "text"))
    )


def read(rows: Iterable[Row], reading: Reading) -> Iterator[Entry]:
    """The ranked replies of all trees.

    Raises:
        ValueError: a message has not its shape, or its parent is not in the file.
    """
    trees = [(tree, list(ranked_replies(tree))) for tree in grouped(rows)]
    unranked = ["tree in which nothing is ranked" for _, ranked in trees if not ranked]
    for tree, ranked in trees:
        found = [_entry(tree.row, reading, path, replies) for path, replies in ranked]
        for number, entry in enumerate(found):
            kept = [] if number else [_without_events(row, reading) for row in tree.values]
            place = {"tree": tree.root.id, "items": len(found), "rows": kept}
            item = entry.item.model_copy(update={"columns": {NAME: place}})
            unread = (*entry.unread, *unranked)
            unranked.clear()
            yield Entry(item=item, judgments=entry.judgments, unread=unread, where=entry.where)


def _entry(row: Row, reading: Reading, path: list[Node], replies: list[Node]) -> Entry:
    candidates = [
        Candidate(content=(_message(row, reply),), source=str(reply.value.get("model_name") or ""))
        for reply in replies
    ]
    parent = path[-1]
    prompt: Messages = tuple(_message(row, node) for node in path)
    item = make_item(
        row, prompt, candidates, id=parent.id, stratum=str(parent.value.get("lang") or "")
    )
    order = sorted({node.value["rank"] for node in replies})
    ranks = tuple(order.index(node.value["rank"]) + 1 for node in replies)
    places = {node.id: place for place, node in enumerate(replies)}
    merged = make_judgment(
        row, reading, item, ranked_or_compared(ranks), Rater(id=NAME), format=NAME,
        raw={node.id: node.value["rank"] for node in replies},
    )  # fmt: skip
    events = (parent.value.get("events") or {}).get("ranking") or []
    judged = [_event(row, reading, item, places, event) for event in events]
    left_out = [node for node in parent.replies if node.value.get("rank") is None]
    unread = ("replies without a rank",) if left_out else ()
    return Entry(item=item, judgments=(merged, *judged), unread=unread, where=row.where)


def _event(
    row: Row, reading: Reading, item: Item, places: Mapping[str, int], event: Any
) -> Judgment:
    match event:
        case {"type": "ranking", "ranked_message_ids": list(ids)}:
            pass
        case _:
            row.fail(f"a ranking event is {shown(event)}", EVENT)
    answer: Answer = Skipped(reason="not all candidates were ranked")
    if event.get("not_rankable"):
        answer = Skipped(reason="not rankable")
    elif set(ids) == set(places) and len(ids) == len(places):
        answer = ranked_or_compared(tuple(ids.index(one) + 1 for one in places))
    rater = Rater(id=reading.person(event.get("user_id") or "unnamed"))
    return make_judgment(
        row, reading, item, answer, rater, format=NAME, raw=reading.hidden(event, "user_id"),
        submitted_at=time_of(row, "created_date", event.get("created_date")),
    )  # fmt: skip


def _without_events(value: Any, reading: Reading) -> Any:
    """A row in which no person's ranking stands: each is with its own judgment."""
    if isinstance(value, list):
        return [_without_events(one, reading) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        key: reading.person(v)
        if key == "user_id" and v is not None and reading.pseudonym
        else v | {"ranking": []}
        if key == "events" and isinstance(v, dict) and "ranking" in v
        else _without_events(v, reading)
        for key, v in value.items()
    }


def ranked_or_compared(ranks: tuple[int, ...]) -> Ranked | Pairwise:
    if len(ranks) == 2:
        return Pairwise(strength=2 * ((ranks[0] > ranks[1]) - (ranks[0] < ranks[1])))
    return Ranked(ranks=ranks)


def _message(row: Row, node: Node) -> Message:
    match node.value:
        case {"text": str(text), "role": "prompter" | "assistant" as role}:
            return Message(role="user" if role == "prompter" else "assistant", content=text)
    row.fail(f"a message is {shown(node.value)}", MESSAGE)
