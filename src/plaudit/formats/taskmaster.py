"""Taskmaster with PERL's ratings: dialogues with API calls, and 0/1 human ratings of turns.

Dialogues (Byrne et al.): ``{"conversation_id", "utterances": [{"speaker", "text", "annotations":
[{"name": "api_call|request|api_response|response", "value"}]}]}``. The calls the assistant makes
stand as annotations on the user's utterance that led to them.

Ratings (Sidahmed et al. 2024, arXiv:2403.10704): ``{"conversation_id", "context": "<JSON turns>",
"generation": "<JSON turn>", "reward": 0.0 | 1.0}`` where a turn is ``{"role": "agent", "text"}``,
``{"role": "agent", "api": {name: arguments}}``, ``{"role": "api", "response": {name: result}}`` or
``{"role": "user", "text"}``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from plaudit.formats.files import Row
from plaudit.formats.pairs import make_prompt
from plaudit.formats.portions import conversation_key
from plaudit.records import (
    Demonstration,
    Judged,
    Message,
    Messages,
    Prompt,
    Rating,
    Response,
    ToolCall,
)

RATING = (
    '{"conversation_id", "context": "[JSON turns]", "generation": "{JSON turn}", "reward": 0|1}'
)
DIALOGUE = '{"conversation_id", "utterances": [{"speaker", "text", "annotations"}]}'


def read_rating(row: Row) -> Judged:
    """One turn of the assistant after its context, rated.

    Raises:
        ValueError: the row is not a rating; the message has its file and line.
    """
    context, generation = _turns(row, "context"), _turns(row, "generation")
    if len(generation) != 1 or generation[0].role != "assistant":
        row.fail("generation is not one agent's turn", RATING)
    reward = row.value.get("reward")
    if isinstance(reward, bool) or not isinstance(reward, int | float) or not 0 <= reward <= 1:
        row.fail(f"reward is {reward!r}", RATING)
    return Judged(
        prompt=make_prompt(row, context),
        responses=(Response(content=generation),),
        ratings=(Rating(response=0, value=float(reward)),),
    )


def read_dialogue(row: Row) -> Demonstration:
    """A dialogue as a demonstration: the prompt ends where the assistant first acts.

    Raises:
        ValueError: the row is not a dialogue, or nothing in it is the assistant's.
    """
    messages = _dialogue(row)
    first = next((i for i, m in enumerate(messages) if m.role == "assistant"), None)
    if not first:
        row.fail("the assistant never answers the user", DIALOGUE)
    prompt = Prompt(
        id=str(row.value.get("conversation_id", row.name)),
        conversation=conversation_key(messages),
        content=messages[:first],
    )
    return Demonstration(prompt=prompt, response=Response(content=messages[first:]))


def read_dialogues(rows: Iterable[Row]) -> Iterator[Demonstration]:
    """Dialogues as demonstrations.

    Raises:
        ValueError: a row is not a dialogue; the message has its file and line.
    """
    yield from map(read_dialogue, rows)


def _turns(row: Row, field: str) -> Messages:
    text = row.value.get(field)
    if not isinstance(text, str):
        row.fail(f"{field} is {'missing' if text is None else 'not a string'}", RATING)
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        row.fail(f"{field} is not JSON ({error.msg})", RATING)
    return tuple(_turn(row, turn) for turn in (value if isinstance(value, list) else [value]))


def _turn(row: Row, turn: Any) -> Message:
    match turn:
        case {"role": "user", "text": str(text)}:
            return Message(role="user", content=text)
        case {"role": "agent", "text": str(text)}:
            return Message(role="assistant", content=text)
        case {"role": "agent", "api": dict(api)} if len(api) == 1:
            return _call_message(row, *next(iter(api.items())))
        case {"role": "api", "response": dict(response)} if len(response) == 1:
            return Message(role="tool", content=compact_json(next(iter(response.values()))))
    row.fail(f"not a turn: {json.dumps(turn)[:80]}", RATING)


def _call_message(row: Row, name: str, arguments: Any) -> Message:
    # Some published turns call an API with an empty name; they were rated, so they are kept.
    if not isinstance(arguments, dict):
        row.fail(f"the API call {name!r} has no arguments", RATING)
    return Message(role="assistant", tool_calls=(ToolCall(name=name, arguments=arguments),))


def _dialogue(row: Row) -> Messages:
    utterances = row.value.get("utterances")
    if not isinstance(utterances, list) or not utterances:
        row.fail("utterances are missing", DIALOGUE)
    messages: list[Message] = []
    for utterance in utterances:
        match utterance:
            case {"speaker": "user" | "assistant" as role, "text": str(text)}:
                messages.append(Message(role=role, content=text))
            case _:
                row.fail(f"not an utterance: {json.dumps(utterance)[:80]}", DIALOGUE)
        messages += _calls(row, utterance.get("annotations", []))
    return tuple(messages)


def _calls(row: Row, annotations: Any) -> Iterator[Message]:
    """Each call of an utterance as the assistant's turn, each result as the tool's."""
    called, arguments = "", "{}"
    for annotation in annotations if isinstance(annotations, list) else [annotations]:
        match annotation:
            case {"name": "api_call", "value": str(value)}:
                called, arguments = value, "{}"
            case {"name": "request", "value": str(value)}:
                arguments = value
            case {"name": "response", "value": str(value)}:
                yield _call_message(row, called, _parsed(row, arguments))
                yield Message(role="tool", content=compact_json(_parsed(row, value)))
            case {"name": str(name)} if name not in ("api_call", "request", "response"):
                pass  # annotations of the text, and api_response, which repeats the call's name
            case _:
                row.fail(f"not an annotation: {json.dumps(annotation)[:80]}", DIALOGUE)


def _parsed(row: Row, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        row.fail(f"an API call's JSON is broken ({error.msg}): {text[:60]}", DIALOGUE)


def compact_json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
