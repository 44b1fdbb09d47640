"""What trainers read, as judgments: TRL's types, OpenRLHF's keys, HH-RLHF's transcripts.

- preference: ``{"prompt", "chosen", "rejected"}``, or without a prompt; perhaps with ``margin``
- unpaired: ``{"prompt", "completion", "label"}``; OpenRLHF's ``{"input", "output", "label"}``
- stepwise: ``{"prompt", "completions", "labels"}``
- HH-RLHF: ``{"chosen", "rejected"}``, two transcripts

No row says who judged, so all are of one rater that bears the format's name. The first candidate
of a pair is the chosen one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from plaudit.formats import hh, trl
from plaudit.formats.exchange.entries import (
    Entry,
    Reading,
    Written,
    make_item,
    make_judgment,
    write_rows,
    written_text,
)
from plaudit.formats.files import Row
from plaudit.formats.messages import alike
from plaudit.judgments import Answer, Candidate, Item, Judgment, Pairwise, Rated, Rater, Stepped
from plaudit.records import Judged, Messages

_LABELS = (0.0, 1.0)
_PAIR = ("prompt", "chosen", "rejected", "margin", "probability", "weight")


def read_trl(rows: Iterable[Row], reading: Reading) -> Iterator[Entry]:
    """TRL's preference, unpaired and stepwise rows.

    Raises:
        ValueError: a row is none of them; the message has its file and line.
    """
    return (_read(row, reading, "trl") for row in rows)


def read_openrlhf(rows: Iterable[Row], reading: Reading) -> Iterator[Entry]:
    """OpenRLHF's rows: preferences with a margin, or ``input``, ``output`` and ``label``.

    Raises:
        ValueError: a row is none of them; the message has its file and line.
    """
    return (_read(row, reading, "openrlhf") for row in rows)


def read_hh(rows: Iterable[Row], reading: Reading) -> Iterator[Entry]:
    """HH-RLHF's pairs of transcripts, parted at the turns both begin with.

    Raises:
        ValueError: a row is not such a pair; the message has its file and line.
    """
    return (_pair(row, reading, "hh", hh.read_pair) for row in rows)


def fits_openrlhf(value: Mapping[str, Any]) -> bool:
    return all(key in value for key in ("input", "output", "label"))


def fits_hh(value: Mapping[str, Any]) -> bool:
    return "prompt" not in value and hh.is_pair(value)


def fits_trl(value: Mapping[str, Any]) -> bool:
    return any(
        all(key in value for key in keys)
        for keys in (
            ("chosen", "rejected"),
            ("prompt", "completion", "label"),
            ("prompt", "completions", "labels"),
        )
    )


def _read(row: Row, reading: Reading, format: str) -> Entry:
    if "completions" in row.value:
        return _steps(row, reading, format)
    if fits_openrlhf(row.value):
        named = {"input": "prompt", "output": "completion"}
        value = {named.get(key, key): v for key, v in row.value.items()}
        return _unpaired(row, Row(where=row.where, value=value), reading, format)
    if "completion" in row.value:
        return _unpaired(row, row, reading, format)
    if not fits_trl(row.value):
        row.fail(f"it has the keys {', '.join(row.value)}", trl.PREFERENCE)
    return _pair(row, reading, format, trl.read_preference)


def _pair(row: Row, reading: Reading, format: str, read: Callable[[Row], Judged]) -> Entry:
    judged = read(row)
    (preference,) = judged.preferences
    p = preference.probability
    answer = Pairwise(strength=0 if p == 0.5 else -2 if p > 0.5 else 2)
    soft = "probability" in row.value and p != 0.5
    said = {"confidence": max(p, 1 - p)} if soft else {}
    unread = tuple(key for key in ("margin", "weight") if row.value.get(key) is not None)
    candidates = [Candidate(content=response.content) for response in judged.responses]
    item = make_item(row, judged.prompt.content, candidates, columns=_columns(row, *_PAIR))
    return _entry(row, reading, format, item, answer, unread=unread, **said)


def _unpaired(row: Row, named: Row, reading: Reading, format: str) -> Entry:
    judged = trl.read_unpaired(named)
    candidates = [Candidate(content=judged.responses[0].content)]
    columns = _columns(named, "prompt", "completion", "label")
    item = make_item(row, judged.prompt.content, candidates, columns=columns)
    entry = _entry(row, reading, format, item, Rated(values=(judged.ratings[0].value,)))
    return replace(entry, scale=_LABELS)


def _steps(row: Row, reading: Reading, format: str) -> Entry:
    stepped = trl.read_stepwise(row)
    columns = _columns(row, "prompt", "completions", "labels")
    item = make_item(
        row, stepped.prompt.content, (), steps=stepped.steps, columns=columns, question="steps"
    )
    answer = Stepped(labels=tuple("right" if label else "wrong" for label in stepped.labels))
    return _entry(row, reading, format, item, answer)


def _entry(
    row: Row, reading: Reading, format: str, item: Item, answer: Answer,
    unread: tuple[str, ...] = (), **said: Any,
) -> Entry:  # fmt: skip
    rater = Rater(id=format)
    judgment = make_judgment(
        row, reading, item, answer, rater, format=format, raw=row.value, **said
    )
    return Entry(item=item, judgments=(judgment,), unread=unread, where=row.where)


def _columns(row: Row, *own: str) -> dict[str, Any]:
    return {key: value for key, value in row.value.items() if key not in own}


def write_trl(entries: Iterable[Entry]) -> Iterator[Written]:
    """Preferences, unpaired and stepwise rows; a tie has the probability one half."""
    return write_rows(map(_without_other_marks, entries), "trl", _trl_row)


def write_openrlhf(entries: Iterable[Entry]) -> Iterator[Written]:
    """Preferences, and ``input``, ``output`` and ``label``."""
    return write_rows(map(_without_other_marks, entries), "openrlhf", _openrlhf_row)


def write_hh(entries: Iterable[Entry]) -> Iterator[Written]:
    """Pairs of transcripts; what no transcript can say is left out."""
    return write_rows(entries, "hh", _hh_row)


def _without_other_marks(entry: Entry) -> Entry:
    """Without marks that are no labels: a 1 of 1 to 5 is the worst there is."""
    if entry.scale in (None, _LABELS):
        return entry
    kept = tuple(one for one in entry.judgments if not isinstance(one.answer, Rated))
    return replace(entry, judgments=kept)


def _trl_row(item: Item, judgment: Judgment) -> dict[str, Any] | None:
    item = _alike(item)
    prompt = {"prompt": written_text(item.prompt)}
    match judgment.answer:
        case Pairwise(both_bad=False) if len(item.candidates) == 2:
            return item.columns | prompt | _sides(item, judgment)
        case Rated(values=(0.0 | 1.0 as mark,)):
            completion = written_text(item.candidates[0].content)
            return item.columns | prompt | {"completion": completion, "label": mark == 1.0}
        case Stepped(labels=labels) if set(labels) <= {"right", "wrong"}:
            right = [label == "right" for label in labels]
            return item.columns | prompt | {"completions": list(item.steps), "labels": right}
    return None


def _alike(item: Item) -> Item:
    asked, said = alike(item.prompt, [candidate.content for candidate in item.candidates])
    candidates = tuple(
        candidate.model_copy(update={"content": content})
        for candidate, content in zip(item.candidates, said, strict=True)
    )
    return item.model_copy(update={"prompt": asked, "candidates": candidates})


def _sides(item: Item, judgment: Judgment) -> dict[str, Any]:
    """Chosen and rejected; how sure the rater was is a probability, and a tie is one half."""
    assert isinstance(judgment.answer, Pairwise), "only comparisons have sides"
    better = int(judgment.answer.strength > 0)
    texts = [written_text(candidate.content) for candidate in item.candidates]
    sides = {"chosen": texts[better], "rejected": texts[1 - better]}
    if not judgment.answer.strength:
        return sides | {"probability": 0.5}
    return sides | ({} if judgment.confidence is None else {"probability": judgment.confidence})


def _openrlhf_row(item: Item, judgment: Judgment) -> dict[str, Any] | None:
    row = _trl_row(item, judgment)
    if row is None or "probability" in row or "completions" in row:
        return None
    named = {"prompt": "input", "completion": "output"} if "completion" in row else {}
    return {named.get(key, key): value for key, value in row.items()}


def _hh_row(item: Item, judgment: Judgment) -> dict[str, Any] | None:
    match judgment.answer:
        case Pairwise(strength=strength) if strength and len(item.candidates) == 2:
            sides = [transcript(item.prompt, c.content) for c in item.candidates]
            if None in sides:
                return None
            better = int(strength > 0)
            return item.columns | {"chosen": sides[better], "rejected": sides[1 - better]}
    return None


def transcript(prompt: str | Messages, response: str | Messages) -> str | None:
    r"""``\n\nHuman: ...\n\nAssistant: ...``; None for what would not be read from it again."""
    if isinstance(prompt, str) or isinstance(response, str):
        return None
    messages = prompt + response
    names = {"user": "Human", "assistant": "Assistant"}
    if any(m.role not in names or m.tool_calls or _holds_turn(m.content) for m in messages):
        return None
    return "".join(f"\n\n{names[m.role]}: {m.content}" for m in messages)


def _holds_turn(text: str) -> bool:
    return "\n\nHuman:" in text or "\n\nAssistant:" in text
