"""TRL's data set types, each standard (strings) or conversational (lists of messages).

- language modelling: ``{"text": "..."}``, ``{"messages": [...]}`` or ``{"conversations": [...]}``
- prompt only: ``{"prompt"}``
- prompt and completion: ``{"prompt", "completion"}``
- preference: ``{"prompt", "chosen", "rejected"}``, or ``{"chosen", "rejected"}`` that both begin
  with the prompt; perhaps with ``"margin"`` (by how much chosen is better), ``"probability"``
  (that it is) and ``"weight"`` (how much the pair counts; no type of TRL's has these two)
- unpaired preference: ``{"prompt", "completion", "label": true}``
- stepwise supervision: ``{"prompt", "completions": ["...", ...], "labels": [true, ...]}``

Further columns only carry data (``answer``, ``source``, ``score_chosen``): they stay with the
prompt as its ``columns``, for reward functions. Columns that would change what a model is shown
(``tools``, images, options of the chat template) are an error where they hold something, because
they are not supported yet.
"""

from __future__ import annotations

import re

from plaudit.formats.files import Row
from plaudit.formats.messages import MESSAGES, answered, read_messages, shown
from plaudit.formats.pairs import (
    PAIR_COLUMNS,
    make_pair,
    make_prompt,
    other_columns,
    shared_turns,
    shared_words,
)
from plaudit.formats.portions import conversation_key
from plaudit.records import (
    Demonstration,
    Judged,
    Prompt,
    Rating,
    Response,
    SteppedResponse,
    Text,
)

LANGUAGE_MODELLING = '{"text": "..."} or {"messages": [...]}'
PROMPT = '{"prompt": "..." or [messages]}'
PROMPT_COMPLETION = '{"prompt": "..." or [messages], "completion": the same}'
PREFERENCE = '{"prompt": "..." or [messages], "chosen": the same, "rejected": the same}'
UNPAIRED = '{"prompt": "..." or [messages], "completion": the same, "label": true or false}'
STEPWISE = '{"prompt": "...", "completions": ["...", ...], "labels": [true, false, ...]}'

# What tables of text make of a list of messages; learned as text it would pass unnoticed.
_WRITTEN_MESSAGES = re.compile(
    r"""\s*\[\s*\{.*['"](role|from)['"]\s*:\s*['"](system|user|assistant|human|gpt)['"]""",
    re.DOTALL,
)
_QUESTIONS = ("instruction", "question", "query", "input")


def read_language_modelling(row: Row) -> Demonstration:
    """A text after nothing, or a conversation from the assistant's first to its last message.

    Raises:
        ValueError: the text is empty, or the assistant says nothing.
    """
    field = next((f for f in ("messages", "conversations") if f in row.value), "text")
    columns = other_columns(row, field)
    if field == "text":
        text = _text(row, "text", LANGUAGE_MODELLING)
        if not text:
            row.fail("text is empty", LANGUAGE_MODELLING)
        prompt = Prompt(id=row.name, conversation=row.name, content="", columns=columns)
        return Demonstration(prompt=prompt, response=Response(content=text))
    messages = answered(read_messages(row, field))
    first = next((i for i, m in enumerate(messages) if m.role == "assistant"), None)
    if first is None:
        row.fail(f"the assistant says nothing in {field}", MESSAGES)
    prompt = Prompt(
        id=row.name,
        conversation=conversation_key(messages),
        content=messages[:first],
        columns=columns,
    )
    return Demonstration(prompt=prompt, response=Response(content=messages[first:]))


def read_prompt(row: Row) -> Prompt:
    """What a model is asked, and nothing that answers it.

    Raises:
        ValueError: the prompt is empty or ends with the assistant's turn.
    """
    return _prompt(row, PROMPT, "prompt")


def read_prompt_completion(row: Row) -> Demonstration:
    """A prompt and the completion to imitate.

    Raises:
        ValueError: prompt and completion are not both text or both messages.
    """
    prompt = _prompt(row, PROMPT_COMPLETION, "prompt", "completion")
    completion = _completion(row, "completion", prompt, PROMPT_COMPLETION)
    return Demonstration(prompt=prompt, response=Response(content=completion))


def read_preference(row: Row) -> Judged:
    """Two responses, the first of them preferred; without a prompt, it is what both begin with.

    Where the prompt is text but both sides are messages, the sides hold the whole conversation
    (UltraFeedback's binarised form) and the prompt must be one of its messages.

    Raises:
        ValueError: the columns are of different kinds, or the two sides do not begin alike.
    """
    if "prompt" not in row.value or _repeats_prompt(row):
        return _read_implicit(row)
    prompt = _prompt(row, PREFERENCE, *PAIR_COLUMNS)
    chosen = _completion(row, "chosen", prompt, PREFERENCE)
    rejected = _completion(row, "rejected", prompt, PREFERENCE)
    return make_pair(row, prompt, chosen=chosen, rejected=rejected)


def read_unpaired(row: Row) -> Judged:
    """One response, said to be good or bad.

    Raises:
        ValueError: the label is not a boolean.
    """
    prompt = _prompt(row, UNPAIRED, "prompt", "completion", "label")
    completion = _completion(row, "completion", prompt, UNPAIRED)
    label = row.value.get("label")
    if isinstance(label, str):  # CSV has no other way to write it
        label = {"true": True, "false": False}.get(label.lower(), label)
    if not isinstance(label, bool):
        row.fail(f"label is {shown(label)}", UNPAIRED)
    return Judged(
        prompt=prompt,
        responses=(Response(content=completion),),
        ratings=(Rating(response=0, value=float(label)),),
    )


def read_stepwise(row: Row) -> SteppedResponse:
    """A response in steps, each said to be right or wrong.

    Raises:
        ValueError: the steps are not texts, or not each of them has a boolean label.
    """
    prompt = _prompt(row, STEPWISE, "prompt", "completions", "labels")
    steps, labels = row.value.get("completions"), row.value.get("labels")
    if not isinstance(steps, list) or not steps or not all(isinstance(s, str) for s in steps):
        row.fail(f"completions is {shown(steps)}", STEPWISE)
    if not isinstance(labels, list) or not all(isinstance(v, bool) for v in labels):
        row.fail(f"labels is {shown(labels)}", STEPWISE)
    if len(steps) != len(labels):
        row.fail(f"{len(steps)} completions but {len(labels)} labels", STEPWISE)
    return SteppedResponse(prompt=prompt, steps=tuple(steps), labels=tuple(labels))


def _read_implicit(row: Row) -> Judged:
    columns = other_columns(row, *PAIR_COLUMNS)
    question = next((column for column in _QUESTIONS if columns.get(column)), None)
    if question and "prompt" not in row.value:
        # What two answers have in common by chance is no prompt.
        row.fail(f"no prompt, but a column {question}; rename it", PREFERENCE)
    chosen, rejected = _content(row, "chosen", PREFERENCE), _content(row, "rejected", PREFERENCE)
    if isinstance(chosen, str) and isinstance(rejected, str):
        at = shared_words(row, chosen, rejected, PREFERENCE)
    elif isinstance(chosen, tuple) and isinstance(rejected, tuple):
        chosen, rejected = answered(chosen), answered(rejected)
        at = shared_turns(row, chosen, rejected, PREFERENCE)
    else:
        row.fail("of chosen and rejected one is text, the other messages", PREFERENCE)
    prompt = make_prompt(row, chosen[:at], columns)
    return make_pair(row, prompt, chosen=chosen[at:], rejected=rejected[at:])


def _prompt(row: Row, expected: str, *own: str) -> Prompt:
    """The prompt of a row whose type has its ``own`` columns."""
    columns = other_columns(row, *own)
    content = _content(row, "prompt", expected)
    if not content:
        row.fail("prompt is empty", expected)
    if not isinstance(content, str) and content[-1].role == "assistant":
        row.fail("prompt ends with the assistant; to go on with its turn is unsupported", expected)
    return make_prompt(row, content, columns)


def _completion(row: Row, field: str, prompt: Prompt, expected: str) -> Text:
    content = _content(row, field, expected)
    if isinstance(content, str) != isinstance(prompt.content, str):
        row.fail(f"of prompt and {field} one is text, the other messages", expected)
    if isinstance(content, str):
        return content
    if content[0].role != "assistant":
        row.fail(f"{field} begins with the {content[0].role}, not the assistant", expected)
    return answered(content)


def _content(row: Row, field: str, expected: str) -> Text:
    if isinstance(row.value.get(field), list):
        return read_messages(row, field)
    return _text(row, field, expected)


def _text(row: Row, field: str, expected: str) -> str:
    value = row.value.get(field)
    if not isinstance(value, str):
        row.fail(f"{field} is {shown(value)}", expected)
    if _WRITTEN_MESSAGES.match(value):
        row.fail(f"{field} is messages written as text; keep them in JSON or Parquet", expected)
    return value


def _repeats_prompt(row: Row) -> bool:
    """Whether the sides are whole conversations, of which the text in ``prompt`` is a part."""
    prompt, sides = row.value["prompt"], ("chosen", "rejected")
    if not isinstance(prompt, str) or any(isinstance(row.value.get(s), str) for s in sides):
        return False
    for side in sides:
        if prompt not in [message.content for message in read_messages(row, side)]:
            row.fail(f"prompt is text, and none of the messages in {side}", PREFERENCE)
    return True
