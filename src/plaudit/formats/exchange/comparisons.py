"""Comparisons of two responses as published with papers, one judgment a row.

- summarize-from-feedback (Stiennon et al. 2020): ``{"info": {"post"}, "summaries": [{"text",
  "policy"}, ...], "choice": 0, "worker", "extra": {"confidence": 8}}``
- WebGPT (Nakano et al. 2021): ``{"question": {"full_text"}, "answer_0", "score_0", "answer_1",
  "score_1"}``, scores from -1 to 1 that add up to 0
- HelpSteer2: ``{"prompt", "response_1", "response_2", "preference_strength": -3 to 3}``, below 0
  the first is better, as here
- AlpacaEval: ``{"instruction", "output_1", "output_2", "annotator", "preference"}``: 1 the first,
  2 the second, 0 or 1.5 a draw, anything between 1 and 2 the probability of the second
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from plaudit.formats.exchange.entries import (
    Entry,
    Reading,
    Written,
    make_item,
    make_judgment,
    write_rows,
)
from plaudit.formats.files import Row
from plaudit.formats.messages import shown
from plaudit.judgments import Answer, Candidate, Item, Judgment, Pairwise, Rater, Skipped

SUMMARIES = '{"info": {"post"}, "summaries": [{"text", "policy"}, {...}], "choice": 0|1, "worker"}'
WEBGPT = '{"question": {"full_text"}, "answer_0", "score_0": -1..1, "answer_1", "score_1"}'
HELPSTEER2 = '{"prompt", "response_1", "response_2", "preference_strength": -3..3}'
ALPACA = '{"instruction", "output_1", "output_2", "annotator", "preference": 1|2|1.5}'
_ASKED = ("post", "article")


def fits_summaries(value: Mapping[str, Any]) -> bool:
    return all(key in value for key in ("info", "summaries", "choice"))


def fits_webgpt(value: Mapping[str, Any]) -> bool:
    return all(key in value for key in ("question", "answer_0", "answer_1", "score_0"))


def fits_helpsteer2(value: Mapping[str, Any]) -> bool:
    return all(key in value for key in ("response_1", "response_2", "preference_strength"))


def fits_alpaca(value: Mapping[str, Any]) -> bool:
    return all(key in value for key in ("instruction", "output_1", "output_2", "preference"))


def read_summaries(rows: Iterable[Row], reading: Reading) -> Iterator[Entry]:
    """Comparisons of two summaries by workers, who say how sure they are from 1 to 9.

    Raises:
        ValueError: a row has not its shape; the message has its file and line.
    """
    for row in rows:
        match row.value:
            case {"info": dict(info), "summaries": [dict(a), dict(b)], "choice": 0 | 1 as choice}:
                asked = next((info[key] for key in _ASKED if info.get(key)), None)
            case _:
                row.fail(f"choice is {shown(row.value.get('choice'))}, or no two summaries",
                         SUMMARIES)  # fmt: skip
        item = _pair(row, asked, (a.get("text"), b.get("text")), (a.get("policy"), b.get("policy")),
                     SUMMARIES)  # fmt: skip
        extra = row.value.get("extra")
        sure = extra.get("confidence") if isinstance(extra, dict) else None
        if sure is not None and (not isinstance(sure, int) or not 1 <= sure <= 9):
            row.fail(f"confidence is {shown(sure)}", "1 to 9, or null")
        said = {} if sure is None else {"confidence": (sure - 1) / 8}
        rater = Rater(id=reading.person(row.value.get("worker") or "unnamed"))
        answer = Pairwise(strength=4 * choice - 2)
        yield _entry(row, reading, "summaries", item, answer, rater, "worker", **said)


def read_webgpt(rows: Iterable[Row], reading: Reading) -> Iterator[Entry]:
    """Comparisons of two answers: a third of the scale is one step of strength.

    Raises:
        ValueError: a row has not its shape; the message has its file and line.
    """
    for row in rows:
        asked, score = row.value.get("question"), row.value.get("score_0")
        text = asked.get("full_text") if isinstance(asked, dict) else asked
        if isinstance(score, bool) or not isinstance(score, int | float) or not -1 <= score <= 1:
            row.fail(f"score_0 is {shown(score)}", WEBGPT)
        item = _pair(row, text, (row.value.get("answer_0"), row.value.get("answer_1")),
                     ("", ""), WEBGPT)  # fmt: skip
        steps = math.ceil(3 * abs(score) - 1e-6)
        answer = Pairwise(strength=-steps if score > 0 else steps)
        yield _entry(row, reading, "webgpt", item, answer, Rater(id="webgpt"))


def read_helpsteer2(rows: Iterable[Row], reading: Reading) -> Iterator[Entry]:
    """Comparisons with their strength, of which below 0 means the first.

    Raises:
        ValueError: a row has not its shape; the message has its file and line.
    """
    for row in rows:
        strength = row.value.get("preference_strength")
        if isinstance(strength, bool) or not isinstance(strength, int) or abs(strength) > 3:
            row.fail(f"preference_strength is {shown(strength)}", HELPSTEER2)
        responses = (row.value.get("response_1"), row.value.get("response_2"))
        item = _pair(row, row.value.get("prompt"), responses, ("", ""), HELPSTEER2)
        said = {"rationale": str(row.value.get("preference_elaboration") or "")}
        answer = Pairwise(strength=strength)
        yield _entry(row, reading, "helpsteer2", item, answer, Rater(id="helpsteer2"), **said)


def read_alpaca(rows: Iterable[Row], reading: Reading) -> Iterator[Entry]:
    """Judgments of AlpacaEval's annotators; a null preference is one that failed.

    Raises:
        ValueError: a row has not its shape; the message has its file and line.
    """
    for row in rows:
        preference = row.value.get("preference")
        answer, said = _alpaca_answer(row, preference)
        outputs = (row.value.get("output_1"), row.value.get("output_2"))
        generators = (row.value.get("generator_1"), row.value.get("generator_2"))
        item = _pair(row, row.value.get("instruction"), outputs, generators, ALPACA)
        rater = Rater(id=str(row.value.get("annotator") or "annotator"), kind="judge")
        yield _entry(row, reading, "alpaca_eval", item, answer, rater, **said)


def _alpaca_answer(row: Row, preference: Any) -> tuple[Answer, dict[str, float]]:
    if preference is None:
        return Skipped(reason="error"), {}
    if isinstance(preference, bool) or not isinstance(preference, int | float):
        row.fail(f"preference is {shown(preference)}", ALPACA)
    if preference in (0, 1.5):
        return Pairwise(strength=0), {}
    if not 1 <= preference <= 2:
        row.fail(f"preference is {preference}", ALPACA)
    second = preference - 1
    sure = {} if second in (0, 1) else {"confidence": max(second, 1 - second)}
    return Pairwise(strength=2 if second > 0.5 else -2), sure


def _pair(
    row: Row, prompt: Any, texts: tuple[Any, Any], sources: tuple[Any, Any], expected: str
) -> Item:
    if not all(isinstance(text, str) for text in (prompt, *texts)):
        wrong = next(text for text in (prompt, *texts) if not isinstance(text, str))
        row.fail(f"of the prompt and the two responses one is {shown(wrong)}", expected)
    candidates = [
        Candidate(content=text, source=str(source or ""))
        for text, source in zip(texts, sources, strict=True)
    ]
    return make_item(row, prompt, candidates)


def _entry(
    row: Row, reading: Reading, format: str, item: Item, answer: Answer, rater: Rater,
    *people: str, **said: Any,
) -> Entry:  # fmt: skip
    raw = reading.hidden(row.value, *people)
    judgment = make_judgment(row, reading, item, answer, rater, format=format, raw=raw, **said)
    return Entry(item=item, judgments=(judgment,), where=row.where)


def write_summaries(entries: Iterable[Entry]) -> Iterator[Written]:
    """Rows of workers' choices; ties cannot be said."""
    return write_rows(entries, "summaries", _summaries_row)


def write_webgpt(entries: Iterable[Entry]) -> Iterator[Written]:
    """Rows with scores; strengths 1, 2 and 3 are a quarter, a half and the whole of the scale."""
    return write_rows(entries, "webgpt", _webgpt_row)


def write_helpsteer2(entries: Iterable[Entry]) -> Iterator[Written]:
    """Rows with strengths."""
    return write_rows(entries, "helpsteer2", _helpsteer2_row)


def write_alpaca(entries: Iterable[Entry]) -> Iterator[Written]:
    """Rows with preferences from 1 to 2; a judgment that failed has none."""
    return write_rows(entries, "alpaca_eval", _alpaca_row)


def _texts(item: Item) -> tuple[str, str, str] | None:
    """The prompt and two responses, where all are plain text."""
    match item.prompt, item.candidates:
        case str(prompt), (Candidate(content=str(a)), Candidate(content=str(b))):
            return prompt, a, b
    return None


def _summaries_row(item: Item, judgment: Judgment) -> dict[str, Any] | None:
    texts, answer = _texts(item), judgment.answer
    if texts is None or not isinstance(answer, Pairwise) or not answer.strength:
        return None
    sure = judgment.confidence
    return {
        "info": {"post": texts[0]},
        "summaries": [{"text": c.content, "policy": c.source} for c in item.candidates],
        "choice": int(answer.strength > 0),
        "worker": judgment.rater.id,
        "extra": {} if sure is None else {"confidence": 1 + round(8 * sure)},
    }


def _webgpt_row(item: Item, judgment: Judgment) -> dict[str, Any] | None:
    texts, answer = _texts(item), judgment.answer
    if texts is None or not isinstance(answer, Pairwise) or answer.both_bad:
        return None
    size = (0.0, 0.25, 0.5, 1.0)[abs(answer.strength)]
    score = -size if answer.strength > 0 else size
    return {
        "question": {"full_text": texts[0]},
        "answer_0": texts[1],
        "score_0": score,
        "answer_1": texts[2],
        "score_1": -score,
    }


def _helpsteer2_row(item: Item, judgment: Judgment) -> dict[str, Any] | None:
    texts, answer = _texts(item), judgment.answer
    if texts is None or not isinstance(answer, Pairwise) or answer.both_bad:
        return None
    return {
        "prompt": texts[0],
        "response_1": texts[1],
        "response_2": texts[2],
        "preference_strength": answer.strength,
        "preference_elaboration": judgment.rationale,
    }


def _alpaca_row(item: Item, judgment: Judgment) -> dict[str, Any] | None:
    texts = _texts(item)
    match judgment.answer:
        case Pairwise(both_bad=False, strength=strength) if texts:
            better = 1.0 if judgment.confidence is None else judgment.confidence
            toward = better - 0.5 if strength else 0.0
            preference = 1.5 + (toward if strength > 0 else -toward)
        case Skipped() if texts:
            preference = None
        case _:
            return None
    a, b = item.candidates
    return {
        "instruction": texts[0],
        "output_1": texts[1],
        "output_2": texts[2],
        "generator_1": a.source,
        "generator_2": b.source,
        "annotator": judgment.rater.id,
        "preference": preference,
    }
