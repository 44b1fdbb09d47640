"""Chatbot Arena: two conversations on the same prompts, and which of them won.

``{"question_id", "model_a", "model_b", "winner": "model_a|model_b|tie|tie (bothbad)", "judge",
"conversation_a": [{"role", "content"}], "conversation_b", "turn", "tstamp"}``

Newer releases write ``both_bad``. Human judgments of MT-bench have the same rows, and a judge
there that is a list (model and prompt) is an AI judge. The prompt is what both conversations begin
with; of several turns, each candidate is all that follows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from plaudit.formats.exchange.entries import (
    UNKNOWN_TIME,
    Entry,
    Reading,
    Written,
    make_item,
    make_judgment,
    time_of,
    write_rows,
    written_messages,
)
from plaudit.formats.files import Row
from plaudit.formats.messages import answered, read_messages, shown
from plaudit.formats.pairs import shared_turns
from plaudit.judgments import Candidate, Item, Judgment, Pairwise, Rater
from plaudit.records import Messages, Text

NAME = "arena"
BATTLE = (
    '{"model_a", "model_b", "winner": "model_a|model_b|tie|tie (bothbad)", "judge", '
    '"conversation_a": [{"role", "content"}], "conversation_b"}'
)
_BOTH_BAD = ("tie (bothbad)", "both_bad", "bothbad")


def fits(value: Mapping[str, Any]) -> bool:
    return all(key in value for key in ("conversation_a", "conversation_b", "winner"))


def read(rows: Iterable[Row], reading: Reading) -> Iterator[Entry]:
    """Battles, each one judgment.

    Raises:
        ValueError: the winner is none of the four, or the conversations do not begin alike.
    """
    for row in rows:
        if not fits(row.value):
            row.fail(f"it has the keys {', '.join(row.value)}", BATTLE)
        item = _item(row)
        said: dict[str, Any] = {"submitted_at": time_of(row, "tstamp", row.value.get("tstamp"))}
        raw = row.value if isinstance(row.value.get("judge"), list) else None
        raw = raw or reading.hidden(row.value, "judge")
        native = row.value.get("question_id") if isinstance(row.value.get("tstamp"), float) else ""
        judgment = make_judgment(
            row, reading, item, _answer(row), _rater(row, reading), format=NAME, raw=raw,
            native=f"{native} {said['submitted_at']}" if native else "", **said,
        )  # fmt: skip
        yield Entry(item=item, judgments=(judgment,), where=row.where)


def _item(row: Row) -> Item:
    a, b = (answered(_turns(row, f"conversation_{side}")) for side in "ab")
    at = shared_turns(row, a, b, BATTLE)
    sources = [str(row.value.get(f"model_{side}") or "") for side in "ab"]
    candidates = [
        Candidate(content=turns[at:], source=source)
        for turns, source in zip((a, b), sources, strict=True)
    ]
    named = row.value.get("question_id")
    return make_item(row, a[:at], candidates, id=named if isinstance(named, str) else None)


def _turns(row: Row, field: str) -> Messages:
    """The messages of a column, of which only role and text are looked at."""
    turns = row.value.get(field)
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        row.fail(f"{field} is {shown(turns)}", BATTLE)
    plain = [{"role": turn.get("role"), "content": _text(turn.get("content"))} for turn in turns]
    return read_messages(Row(where=row.where, value={field: plain}), field)


def _text(content: Any) -> Any:
    match content:
        case [{"type": "text", "text": str(text)}]:
            return text
    return content


def _answer(row: Row) -> Pairwise:
    match row.value["winner"]:
        case "model_a":
            return Pairwise(strength=-2)
        case "model_b":
            return Pairwise(strength=2)
        case "tie":
            return Pairwise(strength=0)
        case str(other) if other in _BOTH_BAD:
            return Pairwise(strength=0, both_bad=True)
    row.fail(f"winner is {shown(row.value['winner'])}", BATTLE)


def _rater(row: Row, reading: Reading) -> Rater:
    match row.value.get("judge"):
        case [str(model), *prompt]:
            return Rater(id=model, kind="judge", version=" ".join(map(str, prompt)))
        case str(person) if person:
            return Rater(id=reading.person(person))
    return Rater(id=NAME)


def write(entries: Iterable[Entry]) -> Iterator[Written]:
    """A row a comparison."""
    return write_rows(entries, NAME, _battle)


def _battle(item: Item, judgment: Judgment) -> dict[str, Any] | None:
    answer = judgment.answer
    if not isinstance(answer, Pairwise) or len(item.candidates) != 2:
        return None
    a, b = (_conversation(item.prompt, c.content) for c in item.candidates)
    rater, at = judgment.rater, judgment.submitted_at
    tied = "tie (bothbad)" if answer.both_bad else "tie"
    winner = tied if not answer.strength else "model_a" if answer.strength < 0 else "model_b"
    return {
        "question_id": item.id,
        "model_a": item.candidates[0].source,
        "model_b": item.candidates[1].source,
        "winner": winner,
        "judge": [rater.id, rater.version] if rater.kind == "judge" else rater.id,
        "conversation_a": a,
        "conversation_b": b,
        "turn": sum(turn["role"] == "assistant" for turn in a),
        **({} if at == UNKNOWN_TIME else {"tstamp": at.timestamp()}),
    }


def _conversation(prompt: Text, response: Text) -> list[dict[str, Any]]:
    asked = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else None
    said = [{"role": "assistant", "content": response}] if isinstance(response, str) else None
    return [
        *(asked or written_messages(prompt if not isinstance(prompt, str) else ())),
        *(said or written_messages(response if not isinstance(response, str) else ())),
    ]
