"""Plaudit's own shape for judgments: a prompt, its responses, and all that was said of them.

``{"prompt", "responses": ["...", ...]}`` with any of

- ``"ranking": [2, 0, 1]``: responses by number, the best first
- ``"preferences": [{"better": 0, "worse": 1, "probability": 0.5, "margin": 1, "weight": 1}]``,
  where a probability of one half says that neither is better
- ``"ratings": [{"response": 0, "value": 0.75, "weight": 1}]``

and, where the prompt has a name of its own, ``"id": "..."``: samplers draw by it, so that data
written anew under the same ids is sampled from alike.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

from pydantic import ValidationError

from plaudit.formats.files import Row
from plaudit.formats.messages import read_messages, shown
from plaudit.formats.pairs import make_prompt, other_columns
from plaudit.records import Judged, Preference, Prompt, Rating, Response, Text

JUDGED = (
    '{"prompt": "...", "responses": ["...", ...], "ranking": [1, 0] or "preferences": [{"better": '
    '0, "worse": 1}] or "ratings": [{"response": 0, "value": 0.5}]}'
)
_OWN = ("id", "prompt", "responses", "ranking", "preferences", "ratings")


def read_judged(row: Row) -> Judged:
    """Responses to one prompt with their ranking, preferences and ratings.

    Raises:
        ValueError: a response is no text, or a judgment does not fit the responses.
    """
    content = _content(row, "prompt", row.value["prompt"])
    responses = row.value["responses"]
    if not isinstance(responses, list) or not responses:
        row.fail(f"responses is {shown(responses)}", JUDGED)
    contents = [_content(row, "responses", response) for response in responses]
    if len({type(text) for text in (content, *contents)}) > 1:
        row.fail("of prompt and responses some are text, others messages", JUDGED)
    try:
        return Judged(
            prompt=_named(row, make_prompt(row, content, other_columns(row, *_OWN))),
            responses=tuple(Response(content=text) for text in contents),
            preferences=(*_ranked(row, len(contents)), *_each(row, "preferences", Preference)),
            ratings=tuple(_each(row, "ratings", Rating)),
        )
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"]))
        row.fail(f"{place}: {fault['msg']}".removeprefix(": "), JUDGED)


def _named(row: Row, prompt: Prompt) -> Prompt:
    """Under the row's own id, where it has one."""
    id = row.value.get("id")
    if id is None:
        return prompt
    if not isinstance(id, str | int) or isinstance(id, bool) or id == "":
        row.fail(f"id is {shown(id)}", JUDGED)
    return prompt.model_copy(update={"id": str(id)})


def _content(row: Row, field: str, value: Any) -> Text:
    if isinstance(value, list):
        return read_messages(Row(where=row.where, value={field: value}), field)
    if not isinstance(value, str) or (field == "prompt" and not value):
        row.fail(f"{field} holds {shown(value)}", JUDGED)
    return value


def _ranked(row: Row, responses: int) -> list[Preference]:
    """Each response of a ranking over all that stand after it."""
    ranking = row.value.get("ranking") or []
    known = [n for n in ranking if isinstance(n, int) and 0 <= n < responses]
    if not isinstance(ranking, list) or len(known) != len(ranking) or len(set(known)) != len(known):
        row.fail(f"ranking is {shown(ranking)} of {responses} responses", JUDGED)
    return [Preference(better=better, worse=worse) for better, worse in combinations(ranking, 2)]


def _each(row: Row, field: str, kind: type) -> list[Any]:
    values = row.value.get(field) or []
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        row.fail(f"{field} is {shown(values)}", JUDGED)
    return [kind(**_with_floats(value)) for value in values]


def _with_floats(value: dict[str, Any]) -> dict[str, Any]:
    """JSON writes 1.0 as 1; numbers of responses stay whole."""
    whole = ("better", "worse", "response")
    return {key: float(v) if type(v) is int and key not in whole else v for key, v in value.items()}
