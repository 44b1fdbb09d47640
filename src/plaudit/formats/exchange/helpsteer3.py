"""HelpSteer3: a conversation, two responses, and what each of up to three people said of them.

``{"context": [{"role", "content"}], "response1", "response2", "overall_preference": -3 to 3,
"individual_preference": [{"score": -3 to 3, "reasoning", "feedback1", "feedback2"}]}``

Below 0 the first is better, as here. The individual preferences are the judgments; the overall
one, made of them, stays with the item's columns, and is a judgment only where they are missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from plaudit.formats.exchange.entries import (
    Entry,
    Reading,
    Written,
    make_item,
    make_judgment,
    written_messages,
)
from plaudit.formats.files import Row
from plaudit.formats.messages import read_messages, shown
from plaudit.judgments import Candidate, Item, Judgment, Pairwise, Rater
from plaudit.records import Message

NAME = "helpsteer3"
ROW = (
    '{"context": [{"role", "content"}], "response1", "response2", "overall_preference": -3..3, '
    '"individual_preference": [{"score": -3..3, "reasoning"}]}'
)


def fits(value: Mapping[str, Any]) -> bool:
    return all(key in value for key in ("context", "response1", "response2", "overall_preference"))


def read(rows: Iterable[Row], reading: Reading) -> Iterator[Entry]:
    """Pairs with the preference of each person, who have no names.

    Raises:
        ValueError: a row has not its shape; the message has its file and line.
    """
    for row in rows:
        if not fits(row.value):
            row.fail(f"it has the keys {', '.join(row.value)}", ROW)
        item = _item(row)
        people = row.value.get("individual_preference") or []
        said = people or [{"score": row.value["overall_preference"]}]
        judgments = [
            _judgment(row, reading, item, one, place if people else None)
            for place, one in enumerate(said, start=1)
        ]
        yield Entry(item=item, judgments=tuple(judgments), where=row.where)


def _item(row: Row) -> Item:
    texts = [row.value["response1"], row.value["response2"]]
    if not all(isinstance(text, str) for text in texts):
        row.fail(f"a response is {shown(next(t for t in texts if not isinstance(t, str)))}", ROW)
    context = row.value["context"]
    prompt = context if isinstance(context, str) else read_messages(row, "context")
    candidates = [
        Candidate(
            content=text if isinstance(prompt, str) else (Message(role="assistant", content=text),)
        )
        for text in texts
    ]
    kept = {key: value for key, value in row.value.items() if key != "individual_preference"}
    if "individual_preference" in row.value:
        kept["individual_preference"] = []
    return make_item(row, prompt, candidates, columns={NAME: kept})


def _judgment(row: Row, reading: Reading, item: Item, said: Any, place: int | None) -> Judgment:
    score = said.get("score") if isinstance(said, dict) else None
    if isinstance(score, bool) or not isinstance(score, int) or abs(score) > 3:
        row.fail(f"a preference is {shown(score)}", ROW)
    rater = Rater(id=NAME if place is None else f"{NAME}-{place}")
    return make_judgment(
        row, reading, item, Pairwise(strength=score), rater, format=NAME, raw=said,
        rationale=str(said.get("reasoning") or ""),
    )  # fmt: skip


def write(entries: Iterable[Entry]) -> Iterator[Written]:
    """A row an item, with all its comparisons; the overall one is their median."""
    for entry in entries:
        said = [j for j in entry.judgments if isinstance(j.answer, Pairwise) and can_say(j.answer)]
        if len(entry.item.candidates) != 2 or not said:
            continue
        row = entry.item.columns.get(NAME)
        value: dict[str, Any] = dict(row) if isinstance(row, dict) else _new_row(entry.item, said)
        is_overall = len(said) == 1 and said[0].rater.id == NAME
        if not is_overall:
            value["individual_preference"] = [j.raw.get(NAME) or _preference(j) for j in said]
        yield Written(value=value, says=tuple(said), items=(entry.item,))


def can_say(answer: Pairwise) -> bool:
    return not answer.both_bad


def _new_row(item: Item, said: list[Judgment]) -> dict[str, Any]:
    strengths = sorted(j.answer.strength for j in said if isinstance(j.answer, Pairwise))
    context = item.prompt if isinstance(item.prompt, str) else written_messages(item.prompt)
    texts = [c.content if isinstance(c.content, str) else c.content[-1].content
             for c in item.candidates]  # fmt: skip
    return {
        "context": context,
        "response1": texts[0],
        "response2": texts[1],
        "overall_preference": strengths[len(strengths) // 2],
    }


def _preference(judgment: Judgment) -> dict[str, Any]:
    assert isinstance(judgment.answer, Pairwise), "only comparisons are written"
    return {"score": judgment.answer.strength, "reasoning": judgment.rationale}
