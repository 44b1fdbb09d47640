"""UltraFeedback (Cui et al. 2023): four completions, marked by GPT-4 aspect by aspect.

- as published: ``{"instruction", "completions": [{"model", "response", "annotations": {"honesty":
  {"Rating": "4", "Rationale"}, ...}, "overall_score"}]}``; marks are strings, ``"N/A"`` is none.
  A completion's mark is the mean of its aspects: ``overall_score`` is known to be wrong in places
- binarised: ``{"prompt", "chosen": [messages], "rejected": [messages], "score_chosen",
  "score_rejected"}``
- distilabel: ``{"prompt" or "instruction", "chosen", "rejected", "chosen_rating",
  "rejected_rating", "chosen_model", "rejected_model"}``
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from statistics import fmean
from typing import Any

from plaudit.formats.exchange.entries import (
    Entry,
    Reading,
    Written,
    make_item,
    make_judgment,
    write_rows,
    written_messages,
    written_text,
)
from plaudit.formats.files import Row
from plaudit.formats.messages import shown
from plaudit.formats.trl import PREFERENCE, read_preference
from plaudit.judgments import Candidate, Item, Judgment, Pairwise, Rated, Rater

NAME, BINARISED, DISTILABEL = "ultrafeedback", "ultrafeedback_binarised", "distilabel"
ROW = (
    '{"instruction", "completions": [{"model", "response", "annotations": {"honesty": {"Rating": '
    '"1" to "5" or "N/A"}}}]}'
)
_SCORES = {BINARISED: "score_{}", DISTILABEL: "{}_rating"}


def fits(value: Mapping[str, Any]) -> bool:
    return "instruction" in value and "completions" in value


def fits_binarised(value: Mapping[str, Any]) -> bool:
    return all(key in value for key in ("chosen", "rejected", "score_chosen", "score_rejected"))


def fits_distilabel(value: Mapping[str, Any]) -> bool:
    return all(key in value for key in ("chosen", "rejected", "chosen_rating", "rejected_rating"))


def read(rows: Iterable[Row], reading: Reading) -> Iterator[Entry]:
    """Instructions with the marks of all completions.

    Raises:
        ValueError: a row has not its shape, or a rating is neither a number nor "N/A".
    """
    for row in rows:
        match row.value:
            case {"instruction": str(asked), "completions": list(completions)} if completions:
                pass
            case _:
                row.fail("no instruction with completions", ROW)
        candidates = [_candidate(row, one) for one in completions]
        item = make_item(row, asked, candidates)
        aspects = _aspects(row, completions)
        values = tuple(_mean([marks[i] for marks in aspects.values()])
                       for i in range(len(candidates)))  # fmt: skip
        asked_otherwise = any(one.get("custom_system_prompt") for one in completions)
        judgment = make_judgment(
            row, reading, item, Rated(values=values), Rater(id="gpt-4", kind="judge"),
            format=NAME, raw=row.value, criteria=aspects,
        )  # fmt: skip
        yield Entry(
            item=item,
            judgments=(judgment,),
            unread=("system prompts",) if asked_otherwise else (),
            where=row.where,
        )


def _mean(marks: list[float | None]) -> float | None:
    given = [mark for mark in marks if mark is not None]
    return fmean(given) if given else None


def _candidate(row: Row, completion: Any) -> Candidate:
    match completion:
        case {"response": str(response)}:
            return Candidate(content=response, source=str(completion.get("model") or ""))
    row.fail(f"a completion is {shown(completion)}", ROW)


def _aspects(row: Row, completions: list[Any]) -> dict[str, tuple[float | None, ...]]:
    marks: dict[str, list[float | None]] = {}
    for place, completion in enumerate(completions):
        for aspect, said in (completion.get("annotations") or {}).items():
            marks.setdefault(aspect, [None] * len(completions))[place] = _mark(row, aspect, said)
    return {aspect: tuple(values) for aspect, values in marks.items()}


def _mark(row: Row, aspect: str, said: Any) -> float | None:
    rating = said.get("Rating") if isinstance(said, dict) else None
    if rating in ("N/A", None):
        return None
    try:
        return float(rating)
    except (TypeError, ValueError):
        row.fail(f"the Rating of {aspect} is {shown(rating)}", ROW)


def read_binarised(rows: Iterable[Row], reading: Reading) -> Iterator[Entry]:
    """Pairs with the scores they were chosen by; of equal scores none is the better.

    Raises:
        ValueError: a row is no preference, or a score is no number.
    """
    return (_scored_pair(row, reading, BINARISED) for row in rows)


def read_distilabel(rows: Iterable[Row], reading: Reading) -> Iterator[Entry]:
    """Pairs with their ratings; of equal ratings none is the better.

    Raises:
        ValueError: a row is no preference, or a rating is no number.
    """
    return (_scored_pair(row, reading, DISTILABEL) for row in rows)


def _scored_pair(row: Row, reading: Reading, format: str) -> Entry:
    value = dict(row.value)
    asked = {"prompt": value.pop("prompt", value.pop("instruction", None))}
    judged = read_preference(Row(where=row.where, value=asked | value))
    scores = [row.value.get(_SCORES[format].format(side)) for side in ("chosen", "rejected")]
    if not all(isinstance(s, int | float) and not isinstance(s, bool) for s in scores):
        row.fail(f"the scores are {shown(scores)}", f"{PREFERENCE} with a score for each side")
    models = [str(row.value.get(f"{side}_model") or "") for side in ("chosen", "rejected")]
    candidates = [
        Candidate(content=response.content, source=model)
        for response, model in zip(judged.responses, models, strict=True)
    ]
    chosen, rejected = (float(score or 0) for score in scores)
    answer = Pairwise(strength=2 * ((chosen < rejected) - (chosen > rejected)))
    item = make_item(row, judged.prompt.content, candidates, id=row.value.get("prompt_id"))
    judgment = make_judgment(
        row, reading, item, answer, Rater(id=format, kind="judge"), format=format, raw=row.value,
        criteria={"score": (chosen, rejected)},
    )  # fmt: skip
    return Entry(item=item, judgments=(judgment,), where=row.where)


def write(entries: Iterable[Entry]) -> Iterator[Written]:
    """A row a judgment that marks all completions; its aspects alone are in it."""
    return write_rows(entries, NAME, _row)


def write_binarised(entries: Iterable[Entry]) -> Iterator[Written]:
    """A row a pair that was scored."""
    return write_rows(entries, BINARISED, lambda item, j: _pair_row(item, j, BINARISED))


def write_distilabel(entries: Iterable[Entry]) -> Iterator[Written]:
    """A row a pair that was scored."""
    return write_rows(entries, DISTILABEL, lambda item, j: _pair_row(item, j, DISTILABEL))


def _row(item: Item, judgment: Judgment) -> dict[str, Any] | None:
    answer = judgment.answer
    if not isinstance(answer, Rated) or not isinstance(item.prompt, str):
        return None
    aspects = judgment.criteria or {"overall": answer.values}
    return {
        "instruction": item.prompt,
        "completions": [
            {
                "model": candidate.source,
                "response": candidate.content,
                "annotations": {name: {"Rating": _written(v[i])} for name, v in aspects.items()},
            }
            for i, candidate in enumerate(item.candidates)
        ],
    }


def _written(mark: float | None) -> str:
    return "N/A" if mark is None else f"{mark:g}"


def _pair_row(item: Item, judgment: Judgment, format: str) -> dict[str, Any] | None:
    scores = judgment.criteria.get("score")
    if not isinstance(judgment.answer, Pairwise) or len(item.candidates) != 2 or not scores:
        return None
    if None in scores or judgment.answer.both_bad:
        return None
    better = int(judgment.answer.strength > 0)
    sides = (("chosen", better), ("rejected", 1 - better))
    row: dict[str, Any] = {}
    for side, place in sides:
        candidate = item.candidates[place]
        row |= {_SCORES[format].format(side): scores[place], side: _side(item, candidate, format)}
        if format == DISTILABEL:
            row[f"{side}_model"] = candidate.source
    if format == BINARISED:
        return {"prompt": _first_asked(item), "prompt_id": item.id, **row}
    return {"prompt": written_text(item.prompt), **row}


def _side(item: Item, candidate: Candidate, format: str) -> Any:
    """The binarised form repeats the whole conversation on each side."""
    whole = format == BINARISED and not isinstance(item.prompt, str)
    asked = written_messages(item.prompt) if whole and not isinstance(item.prompt, str) else []
    said = written_text(candidate.content)
    return [*asked, *said] if asked else said


def _first_asked(item: Item) -> str:
    if isinstance(item.prompt, str):
        return item.prompt
    return next((m.content for m in item.prompt if m.role == "user"), "")
