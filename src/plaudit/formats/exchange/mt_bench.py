"""MT-bench's judgments by a model (Zheng et al. 2023), which ask about a pair in both orders.

- pairs: ``{"question_id", "model_1", "model_2", "g1_winner", "g2_winner", "judge": [model, prompt],
  "g1_user_prompt", "g1_judgment", "g2_user_prompt", "g2_judgment", "turn"}``; a winner is
  ``model_1``, ``model_2``, ``tie`` or ``error``
- single answers: ``{"question_id", "model", "judge", "user_prompt", "judgment", "score", "turn"}``;
  a score of -1 says that the judge's text held none

No row has the answers but in the prompt that the judge was shown, so they are taken from there. An
error is ``Skipped``: never a tie, never 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from plaudit.formats.exchange.entries import (
    UNKNOWN_TIME,
    Entry,
    Reading,
    Written,
    make_item,
    make_judgment,
    time_of,
)
from plaudit.formats.files import Row
from plaudit.formats.messages import shown
from plaudit.judgments import Answer, Candidate, Item, Judgment, Pairwise, Rated, Rater, Skipped
from plaudit.records import Message, Messages

PAIRS, SINGLE = "mt_bench", "mt_bench_single"
PAIR = (
    '{"model_1", "model_2", "g1_winner", "g2_winner", "judge": [model, prompt], "g1_user_prompt"}'
)
SCORE = '{"question_id", "model", "judge": [model, prompt], "user_prompt", "judgment", "score"}'
_ONE_TURN = (
    r"\[(?:User )?Question\]\n(?P<asked>.*?)\n\n"
    r"(?:\[The Start of Reference Answer\]\n.*?\n\[The End of Reference Answer\]\n\n)?"
)
_ANSWER = (
    r"\[The Start of Assistant{0}'s Answer\]\n(?P<{1}>.*)\n\[The End of Assistant{0}'s Answer\]"
)
_PAIR = re.compile(
    _ONE_TURN + _ANSWER.format(" A", "a") + r"\n\n" + _ANSWER.format(" B", "b"), re.DOTALL
)
_ALONE = re.compile(_ONE_TURN + _ANSWER.format("", "a"), re.DOTALL)
_CONVERSATION = (
    r"<\|The Start of Assistant {0}'s Conversation with User\|>\n\n(.*?)\n\n"
    r"<\|The End of Assistant {0}'s Conversation with User\|>"
)
_TURN = re.compile(r"(?:\A|\n\n)### (User|Assistant [AB]):\n")


def fits(value: Mapping[str, Any]) -> bool:
    return all(key in value for key in ("model_1", "model_2", "g1_winner", "g2_winner"))


def fits_single(value: Mapping[str, Any]) -> bool:
    return all(key in value for key in ("question_id", "model", "user_prompt", "score"))


def read(rows: Iterable[Row], reading: Reading) -> Iterator[Entry]:
    """Pairs, each with two judgments: one for each order.

    Raises:
        ValueError: a winner is none of the four, or the answers are not in the judge's prompt.
    """
    for row in rows:
        prompt, texts = _conversations(row, "g1_user_prompt", "AB")
        sources = [str(row.value.get(f"model_{n}") or "") for n in (1, 2)]
        candidates = [
            Candidate(content=text, source=source)
            for text, source in zip(texts, sources, strict=True)
        ]
        item = make_item(row, prompt, candidates)
        judgments = [
            make_judgment(
                row, reading, item, _answer(row, f"{order}_winner"), _judge(row), format=PAIRS,
                raw=row.value if order == "g1" else {}, native=f"{row.value.get('tstamp')} {order}",
                shown=shown_as, rationale=str(row.value.get(f"{order}_judgment") or ""),
                submitted_at=time_of(row, "tstamp", row.value.get("tstamp")),
            )
            for order, shown_as in (("g1", (0, 1)), ("g2", (1, 0)))
        ]  # fmt: skip
        yield Entry(item=item, judgments=tuple(judgments), where=row.where)


def read_single(rows: Iterable[Row], reading: Reading) -> Iterator[Entry]:
    """Single answers with their scores from 1 to 10.

    Raises:
        ValueError: the score is no number, or the answer is not in the judge's prompt.
    """
    for row in rows:
        prompt, texts = _conversations(row, "user_prompt", "A")
        candidate = Candidate(content=texts[0], source=str(row.value.get("model") or ""))
        item, score = make_item(row, prompt, [candidate]), row.value.get("score")
        if isinstance(score, bool) or not isinstance(score, int | float):
            row.fail(f"score is {shown(score)}", SCORE)
        failed = score < 0
        answer = Skipped(reason="error") if failed else Rated(values=(float(score),))
        judgment = make_judgment(
            row, reading, item, answer, _judge(row), format=SINGLE, raw=row.value,
            native=row.value.get("tstamp") or "", rationale=str(row.value.get("judgment") or ""),
            submitted_at=time_of(row, "tstamp", row.value.get("tstamp")),
        )  # fmt: skip
        yield Entry(item=item, judgments=(judgment,), where=row.where)


def _answer(row: Row, key: str) -> Answer:
    match row.value.get(key):
        case "model_1":
            return Pairwise(strength=-2)
        case "model_2":
            return Pairwise(strength=2)
        case "tie":
            return Pairwise(strength=0)
        case "error":
            return Skipped(reason="error")
    row.fail(f"{key} is {shown(row.value.get(key))}", "model_1, model_2, tie or error")


def _judge(row: Row) -> Rater:
    match row.value.get("judge"):
        case [str(model), str(prompt)]:
            return Rater(id=model, kind="judge", version=prompt)
        case str(model) if model:
            return Rater(id=model, kind="judge")
    row.fail(f"judge is {shown(row.value.get('judge'))}", "[model, prompt]")


def _conversations(row: Row, key: str, sides: str) -> tuple[Messages, list[Messages]]:
    """What was asked first, and what each side said after it, from the judge's prompt."""
    text = row.value.get(key)
    if not isinstance(text, str):
        row.fail(f"{key} is {shown(text)}", PAIR if sides == "AB" else SCORE)
    match = (_PAIR if sides == "AB" else _ALONE).search(text)
    if match:
        said = [match[side.lower()] for side in sides]
        asked = (Message(role="user", content=match["asked"]),)
        return asked, [(Message(role="assistant", content=one),) for one in said]
    found = [re.search(_CONVERSATION.format(side), text, re.DOTALL) for side in sides]
    turns = [_turns(one[1]) for one in found if one]
    if len(turns) != len(sides) or any(len(one) < 2 for one in turns):
        row.fail(f"no answers are found in {key}", "a prompt of MT-bench's (pair-v2, single-v1)")
    return turns[0][:1], [one[1:] for one in turns]


def _turns(text: str) -> Messages:
    parts = iter(_TURN.split(text)[1:])
    return tuple(
        Message(role="user" if who == "User" else "assistant", content=said)
        for who, said in zip(parts, parts, strict=True)
    )


def write(entries: Iterable[Entry]) -> Iterator[Written]:
    """A row for each two judgments of a judge that saw the pair in both orders."""
    for entry in entries:
        waiting = list(entry.judgments)
        while waiting:
            first = waiting.pop(0)
            second = next((j for j in waiting if _is_turned(first, j)), None)
            if second is None:
                continue
            own = first.raw.get(PAIRS)
            row = dict(own) if isinstance(own, dict) else _pair_row(entry.item, first, second)
            if row is not None:
                waiting.remove(second)
                yield Written(value=row, says=(first, second), items=(entry.item,))


def _is_turned(first: Judgment, second: Judgment) -> bool:
    orders = (first.shown, second.shown)
    return first.rater == second.rater and orders == ((0, 1), (1, 0))


def _pair_row(item: Item, first: Judgment, second: Judgment) -> dict[str, Any] | None:
    winners = [_winner(judgment) for judgment in (first, second)]
    prompts = [_shown_to_judge(item, order) for order in ((0, 1), (1, 0))]
    if None in winners or None in prompts:
        return None
    return {
        "question_id": item.id,
        "model_1": item.candidates[0].source,
        "model_2": item.candidates[1].source,
        "g1_winner": winners[0],
        "g2_winner": winners[1],
        "judge": [first.rater.id, first.rater.version],
        "g1_user_prompt": prompts[0],
        "g1_judgment": first.rationale,
        "g2_user_prompt": prompts[1],
        "g2_judgment": second.rationale,
        **_time(first),
    }


def write_single(entries: Iterable[Entry]) -> Iterator[Written]:
    """A row for each score of one answer."""
    for entry in entries:
        for judgment in entry.judgments:
            own = judgment.raw.get(SINGLE)
            row = dict(own) if isinstance(own, dict) else _score_row(entry.item, judgment)
            if row is not None:
                yield Written(value=row, says=(judgment,), items=(entry.item,))


def _score_row(item: Item, judgment: Judgment) -> dict[str, Any] | None:
    texts = [_only_text(turns) for turns in (item.prompt, *(c.content for c in item.candidates))]
    match judgment.answer:
        case Rated(values=(float(score),)):
            pass
        case Skipped():
            score = -1
        case _:
            return None
    if None in texts or len(texts) != 2:
        return None
    return {
        "question_id": item.id,
        "model": item.candidates[0].source,
        "judge": [judgment.rater.id, judgment.rater.version],
        "user_prompt": f"[Question]\n{texts[0]}\n\n[The Start of Assistant's Answer]\n{texts[1]}\n"
        "[The End of Assistant's Answer]",
        "judgment": judgment.rationale,
        "score": score,
        "turn": 1,
        **_time(judgment),
    }


def _winner(judgment: Judgment) -> str | None:
    match judgment.answer:
        case Skipped():
            return "error"
        case Pairwise(strength=0, both_bad=False):
            return "tie"
        case Pairwise(strength=strength) if strength:
            return "model_1" if strength < 0 else "model_2"
    return None


def _only_text(content: str | Messages) -> str | None:
    if isinstance(content, str):
        return content
    return content[0].content if len(content) == 1 else None


def _shown_to_judge(item: Item, order: Sequence[int]) -> str | None:
    """A pair as MT-bench's prompts show it; None for what it never shows."""
    if len(item.candidates) != 2:
        return None
    contents = [item.candidates[place].content for place in order]
    texts = [_only_text(turns) for turns in (item.prompt, *contents)]
    if None not in texts:
        asked, a, b = texts
        return (
            f"[User Question]\n{asked}\n\n[The Start of Assistant A's Answer]\n{a}\n"
            f"[The End of Assistant A's Answer]\n\n[The Start of Assistant B's Answer]\n{b}\n"
            "[The End of Assistant B's Answer]"
        )
    if isinstance(item.prompt, str) or any(isinstance(content, str) for content in contents):
        return None
    conversations = [item.prompt + tuple(turns) for turns in contents if not isinstance(turns, str)]
    return "\n\n\n".join(
        f"<|The Start of Assistant {side}'s Conversation with User|>\n\n"
        f"{_written_turns(turns, side)}\n\n<|The End of Assistant {side}'s Conversation with User|>"
        for side, turns in zip("AB", conversations, strict=True)
    )


def _written_turns(turns: Messages, side: str) -> str:
    names = {"user": "User", "assistant": f"Assistant {side}"}
    return "\n\n".join(f"### {names.get(m.role, m.role)}:\n{m.content}" for m in turns)


def _time(judgment: Judgment) -> dict[str, float]:
    at = judgment.submitted_at
    return {} if at == UNKNOWN_TIME else {"tstamp": at.timestamp()}
