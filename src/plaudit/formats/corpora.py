"""Plain texts and dialogues to pretrain on, in the shapes of some public corpora.

- ``gutenberg``: text files with Project Gutenberg's header and footer, which are cut off.
- ``sgd``: ``{"dialogue_id", "turns": [["USER", "..."], ["SYSTEM", "..."]]}`` (Schema-Guided
  Dialogue, text only).
- ``self_dialogue``: Mechanical Turk CSV with one column a turn, ``Answer.sentence1`` onwards
  (Fainberg et al. 2018); the two voices take turns as user and assistant.
- ``text``: rows with a ``text``, and perhaps the ``conversation`` that decides their split; any
  source of rows will do.
- ``taskmaster``: dialogues as in ``plaudit.formats.taskmaster``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from plaudit.formats.files import Row, read_rows, read_text
from plaudit.formats.sources import read_source
from plaudit.formats.taskmaster import read_dialogues
from plaudit.records import Message, Prompt, Text

CorpusFormat = Literal["gutenberg", "sgd", "self_dialogue", "taskmaster", "text"]

_GUTENBERG = re.compile(
    r"\*\*\* ?START OF .*?\*\*\*(?P<body>.*?)(\*\*\* ?END OF|\Z)", re.DOTALL | re.IGNORECASE
)


def read_corpus(path: Path, kind: CorpusFormat) -> Iterator[Prompt]:
    """The documents of one file, each under the conversation that decides its split.

    Raises:
        ValueError: the file or a row of it is not of this kind.
    """
    if kind == "gutenberg":
        yield _document(path.name, _gutenberg(path))
        return
    if kind == "taskmaster":
        for demonstration in read_dialogues(read_rows(path)):
            prompt, response = demonstration.prompt, demonstration.response
            assert isinstance(prompt.content, tuple) and isinstance(response.content, tuple)
            yield prompt.model_copy(update={"content": prompt.content + response.content})
        return
    turns = _sgd if kind == "sgd" else _self_dialogue
    blocked = _blocked_workers(path)
    for row in read_rows(path):
        if row.value.get("WorkerId") in blocked:
            continue
        yield _document(row.name, turns(row))


def read_texts(name: str) -> Iterator[Prompt]:
    """The documents of a source of kind ``text``.

    Raises:
        ValueError: the source cannot be read, or a row has no text.
    """
    for _, rows in read_source(name):
        for row in rows:
            text = row.value.get("text")
            if not isinstance(text, str) or not text:
                row.fail("text is missing or empty", '{"text": "..."}')
            conversation = str(row.value.get("conversation") or text)
            yield Prompt(id=row.name, conversation=conversation, content=text)


def _gutenberg(path: Path) -> str:
    """The book's text, its lines joined into paragraphs."""
    text = read_text(path).replace("\r\n", "\n")
    found = _GUTENBERG.search(text)
    body = found.group("body") if found else text.partition("*END*")[2] or text
    paragraphs = [" ".join(p.split()) for p in re.split(r"\n\s*\n", body)]
    return "\n".join(p for p in paragraphs if p)


def _sgd(row: Row) -> tuple[Message, ...]:
    expected = '{"dialogue_id", "turns": [["USER" | "SYSTEM", "..."]]}'
    turns = row.value.get("turns")
    if not isinstance(turns, list) or not turns:
        row.fail("turns are missing", expected)
    messages = []
    for turn in turns:
        match turn:
            case ["USER", str(text)]:
                messages.append(Message(role="user", content=text))
            case ["SYSTEM", str(text)]:
                messages.append(Message(role="assistant", content=text))
            case _:
                row.fail(f"not a turn: {turn!r}", expected)
    return tuple(messages)


def _self_dialogue(row: Row) -> tuple[Message, ...]:
    texts: list[str] = []
    while sentence := (row.value.get(f"Answer.sentence{len(texts) + 1}") or "").strip():
        texts.append(sentence)
    if not texts:
        row.fail("Answer.sentence1 is missing or empty", "one column a turn, Answer.sentence1..N")
    return tuple(
        Message(role="assistant" if i % 2 else "user", content=text) for i, text in enumerate(texts)
    )


def _blocked_workers(path: Path) -> set[str]:
    """The workers the self-dialogue corpus's authors leave out, listed two folders up."""
    file = path.parent.parent.parent / "blocked_workers.txt"
    return set(file.read_text(encoding="utf-8").split()) if file.is_file() else set()


def _document(name: str, content: Text) -> Prompt:
    return Prompt(id=name, conversation=name, content=content)
