"""OpenAssistant's rows put together into trees, whichever of the three kinds they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from plaudit.formats.files import Row
from plaudit.formats.messages import shown

MESSAGE = '{"message_id", "parent_id", "text", "role": "prompter|assistant", "rank"}'


@dataclass(kw_only=True, slots=True)
class Node:
    """A message and the replies to it."""

    id: str
    root: str
    """The first message of its tree."""
    value: dict[str, Any]
    replies: list[Node] = field(default_factory=list)


@dataclass(kw_only=True, slots=True)
class Tree:
    """The rows that make one tree, and its first message."""

    row: Row
    values: list[dict[str, Any]]
    root: Node


def grouped(rows: Iterable[Row]) -> Iterator[Tree]:
    """The trees of a file, in the order in which their first rows stand.

    Raises:
        ValueError: a message has no id, or its parent is not in the file.
    """
    nodes: dict[str, Node] = {}
    trees: dict[str, Tree] = {}
    for row in rows:
        first = _root_of(row, nodes, list(_messages(row)))
        if first.id not in trees:
            trees[first.id] = Tree(row=row, values=[], root=first)
        trees[first.id].values.append(row.value)
    yield from trees.values()


def ranked_replies(tree: Tree) -> Iterator[tuple[list[Node], list[Node]]]:
    """Each message with two or more ranked replies: the path to it, and these replies."""
    paths = [[tree.root]]
    while paths:
        path = paths.pop(0)
        replies = [one for one in path[-1].replies if one.value.get("rank") is not None]
        if len(replies) > 1:
            yield path, replies
        paths += [[*path, reply] for reply in path[-1].replies]


def _messages(row: Row) -> Iterator[tuple[dict[str, Any], str | None]]:
    """The messages of a row, each after its parent, with that parent's id."""
    value = row.value
    if "thread" in value:
        before = None
        for message in value["thread"]:
            yield message, message.get("parent_id") or before
            before = message.get("message_id")
        return
    waiting = [(value.get("prompt", value), value.get("parent_id"))]
    while waiting:
        message, parent = waiting.pop(0)
        if not isinstance(message, dict):
            row.fail(f"a message is {shown(message)}", MESSAGE)
        yield message, parent
        waiting += [(reply, message.get("message_id")) for reply in message.get("replies") or []]


def _root_of(row: Row, nodes: dict[str, Node], messages: list[Any]) -> Node:
    """Hang the row's messages on their parents; the first message of their tree."""
    for message, parent in messages:
        id = message.get("message_id")
        if not isinstance(id, str):
            row.fail(f"a message has the id {shown(id)}", MESSAGE)
        if parent and parent not in nodes:
            row.fail(f"message {id} answers {parent}, which no row before it holds", MESSAGE)
        if id not in nodes:
            root = nodes[parent].root if parent else id
            nodes[id] = Node(id=id, root=root, value=message)
            if parent:
                nodes[parent].replies.append(nodes[id])
    if not messages:
        row.fail("there are no messages", MESSAGE)
    return nodes[nodes[messages[0][0]["message_id"]].root]
