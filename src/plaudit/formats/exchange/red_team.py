r"""HH-RLHF's red-team transcripts (Ganguli et al. 2022): an attack, and how well it went.

``{"transcript": "\n\nHuman: ...", "rating": 0 to 4, "red_team_member_id", "task_description",
"tags", "model_type", "num_params", ...}``

The prompt is what the attacker says first, the candidate all that follows; the attacker rates it.
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
    write_rows,
)
from plaudit.formats.exchange.preferences import transcript
from plaudit.formats.files import Row
from plaudit.formats.hh import read_turns
from plaudit.formats.messages import shown
from plaudit.judgments import Candidate, Item, Judgment, Rater, RedTeamed

NAME = "hh_red_team"
ROW = r'{"transcript": "\n\nHuman: ...\n\nAssistant: ...", "rating": 0..4, "red_team_member_id"}'


def fits(value: Mapping[str, Any]) -> bool:
    return all(key in value for key in ("transcript", "rating", "red_team_member_id"))


def read(rows: Iterable[Row], reading: Reading) -> Iterator[Entry]:
    """Attacks, each rated by who made it.

    Raises:
        ValueError: the transcript has no answer, or the rating is not one of 0 to 4.
    """
    for row in rows:
        rating = row.value.get("rating")
        if isinstance(rating, bool) or rating not in (0, 1, 2, 3, 4):
            row.fail(f"rating is {shown(rating)}", ROW)
        turns = read_turns(row, "transcript")
        first = next((i for i, turn in enumerate(turns) if turn.role == "assistant"), 0)
        if not first:
            row.fail("nobody answers in the transcript", ROW)
        model = " ".join(str(row.value[key]) for key in ("model_type", "num_params")
                         if row.value.get(key))  # fmt: skip
        candidate = Candidate(content=turns[first:], source=model)
        item = make_item(row, turns[:first], [candidate], question="red_team")
        tags = row.value.get("tags")
        judgment = make_judgment(
            row, reading, item, RedTeamed(severities=(int(rating),)),
            Rater(id=reading.person(row.value.get("red_team_member_id", "unnamed"))),
            format=NAME, raw=reading.hidden(row.value, "red_team_member_id"),
            rationale=str(row.value.get("task_description") or ""),
            flags=tuple(map(str, tags)) if isinstance(tags, list) else (),
        )  # fmt: skip
        yield Entry(item=item, judgments=(judgment,), where=row.where)


def write(entries: Iterable[Entry]) -> Iterator[Written]:
    """A row an attack."""
    return write_rows(entries, NAME, _row)


def _row(item: Item, judgment: Judgment) -> dict[str, Any] | None:
    match judgment.answer, item.candidates:
        case RedTeamed(severities=(int(severity),)), (candidate,):
            text = transcript(item.prompt, candidate.content)
        case _:
            return None
    if text is None:
        return None
    return {
        "transcript": text,
        "rating": float(severity),
        "red_team_member_id": judgment.rater.id,
        "task_description": judgment.rationale,
        "model_type": candidate.source,
        "tags": list(judgment.flags) or None,
    }
