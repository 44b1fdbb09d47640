"""Data sets by name: whatever the field's format, as the records a stage learns from.

A name is a file, a pattern of files, one that ships with Plaudit, a directory saved by
``datasets``, or a data set of the Hugging Face hub (see ``plaudit.formats.sources``).
"""

from __future__ import annotations

import gc
import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar, get_args

from pydantic import ValidationError

from plaudit.formats.files import Row
from plaudit.formats.merging import merge, says_something
from plaudit.formats.portions import WHOLE, Portion, check_portion, within
from plaudit.formats.shapes import SHAPES, Format, Loaded, detect
from plaudit.formats.sources import read_source
from plaudit.records import Demonstration, Judged, Prompt, SteppedResponse

log = logging.getLogger(__name__)

LoadedT = TypeVar("LoadedT", bound=Loaded)

_CALLED: dict[type[Loaded], str] = {
    Prompt: "prompts",
    Demonstration: "demonstrations",
    Judged: "judged responses",
    SteppedResponse: "steps with labels",
}
_USED_BY: dict[type[Loaded], str] = {
    Prompt: "the rl stage",
    Demonstration: "the sft stage",
    Judged: "the preference or reward stage",
    SteppedResponse: "a process reward model",
}


@contextmanager
def _uncollected() -> Iterator[None]:
    """Python's search for cycles is put off: records hold none, and each search reads them all."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@_uncollected()
def load_demonstrations(
    name: str, *, portion: Portion = WHOLE, format: Format = "auto"
) -> list[Demonstration]:
    """Prompts with the response to imitate.

    Raises:
        ValueError: a row cannot be read, the data is of another kind, or nothing is in the portion.
    """
    return _load(name, (Demonstration,), portion, format)


@_uncollected()
def load_judged(name: str, *, portion: Portion = WHOLE, format: Format = "auto") -> list[Judged]:
    """Prompts with all their judged responses: rows with equal prompts are brought together.

    Raises:
        ValueError: a row cannot be read, the data is of another kind, or nothing is in the portion.
    """
    return merge(_load(name, (Judged,), portion, format))


@_uncollected()
def load_judgments(name: str, *, portion: Portion = WHOLE) -> list[Judged]:
    """Judged responses row by row, before equal prompts are brought together.

    Raises:
        ValueError: a row cannot be read, the data is of another kind, or nothing is in the portion.
    """
    return _load(name, (Judged,), portion, "auto")


@_uncollected()
def load_stepped(
    name: str, *, portion: Portion = WHOLE, format: Format = "auto"
) -> list[SteppedResponse]:
    """Responses in steps, each step labelled.

    Raises:
        ValueError: a row cannot be read, the data is of another kind, or nothing is in the portion.
    """
    return _load(name, (SteppedResponse,), portion, format)


@_uncollected()
def load_prompts(name: str, *, portion: Portion = WHOLE, format: Format = "auto") -> list[Prompt]:
    """What to ask a model: prompts as they stand, or those of judged or demonstrated responses.

    A conversation gives one prompt for each of the assistant's turns, named ``id#turn`` where
    ``turn`` is the number of messages before it; a turn that nothing precedes gives none.

    Raises:
        ValueError: a row cannot be read, there are no prompts, or nothing is in the portion.
    """
    records = _load(name, tuple(_CALLED), portion, format)
    judged = merge(record for record in records if isinstance(record, Judged))
    others = (record for record in records if not isinstance(record, Judged))
    prompts = [prompt for record in others for prompt in _asked(record)]
    prompts += [one.prompt for one in judged]
    if not prompts:
        raise ValueError(f"{name}: holds only text that nothing comes before; expected prompts")
    return prompts


def _asked(record: Prompt | Demonstration | SteppedResponse) -> Iterator[Prompt]:
    prompt = _prompt(record)
    if not isinstance(record, Demonstration) or isinstance(prompt.content, str):
        if prompt.content:
            yield prompt
        return
    assert isinstance(record.response.content, tuple), "a reader mixed text and messages"
    messages = prompt.content + record.response.content
    for turn in range(max(len(prompt.content), 1), len(messages)):
        if messages[turn].role == "assistant":
            named = {"id": f"{prompt.id}#{turn}", "content": messages[:turn]}
            yield prompt.model_copy(update=named)


def _load(
    name: str, kinds: tuple[type[LoadedT], ...], portion: Portion, format: Format
) -> list[LoadedT]:
    if format not in get_args(Format):
        raise ValueError(f"{format}: no such format; choose {', '.join(get_args(Format))}")
    check_portion(portion)
    parts = (_without_equal_pairs(p, _read(r, kinds, format)) for p, r in read_source(name))
    records = _with_unique_ids(record for part in parts for record in part)
    kept = [record for record in records if within(_prompt(record).conversation, portion)]
    if not records:
        raise ValueError(f"{name}: every row is a pair of equal sides, which teaches nothing")
    if not kept:
        raise ValueError(
            f"{name}: none of its {len(records)} usable rows is in the portion {list(portion)}"
        )
    return kept


def _read(
    rows: Iterable[Row], kinds: tuple[type[LoadedT], ...], format: Format
) -> Iterator[LoadedT]:
    """The records of one file, whose rows all have the shape of its first."""
    first: str | None = None
    for row in rows:
        found = detect(row) if format == "auto" else format
        if first is None:
            first = found
            _check_kind(row, found, kinds)
        elif found != first:
            row.fail(f"a row of {found} in a file of {first}", SHAPES[first].example)
        record = _record(row, found)
        assert isinstance(record, kinds), f"{found} made a {type(record).__name__}"
        yield record


def _record(row: Row, shape: str) -> Loaded:
    """What a row says; a record's own refusal (a column JSON cannot hold) is told like the rest."""
    try:
        return SHAPES[shape].read(row)
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"]))
        row.fail(f"{place}: {fault['msg']}", SHAPES[shape].example)


def _check_kind(row: Row, found: str, kinds: tuple[type[Loaded], ...]) -> None:
    kind = SHAPES[found].kind
    if kind not in kinds:
        needed = " or ".join(_CALLED[k] for k in kinds)
        # Backwards, for what is plain stands last.
        shapes = [shape for shape in reversed(SHAPES.values()) if shape.kind in kinds]
        examples = " or ".join(shape.example for shape in shapes)
        keys = ", ".join(map(str, row.value))
        row.fail(
            f"the file holds {_CALLED[kind]} ({found}, by the keys {keys}), which are for "
            f"{_USED_BY[kind]}",
            f"{needed}: {examples}",
        )


def _without_equal_pairs(place: str, records: Iterable[LoadedT]) -> Iterator[LoadedT]:
    """Leave out pairs of one text with itself, which published data has, and say how many."""
    equal: list[str] = []
    for record in records:
        if isinstance(record, Judged) and not says_something(record):
            equal.append(record.prompt.id)
        else:
            yield record
    if equal:
        log.warning(
            "%s: left out %d pairs with equal sides, the first at %s", place, len(equal), equal[0]
        )


def _with_unique_ids(records: Iterable[LoadedT]) -> list[LoadedT]:
    """Rename what shares its id with an earlier record (files of one name): ``id (2)``."""
    seen: Counter[str] = Counter()
    unique: list[LoadedT] = []
    for record in records:
        id = _prompt(record).id
        seen[id] += 1
        unique.append(record if seen[id] == 1 else _renamed(record, f"{id} ({seen[id]})"))
    return unique


def _renamed(record: LoadedT, id: str) -> LoadedT:
    if isinstance(record, Prompt):
        return record.model_copy(update={"id": id})
    return record.model_copy(update={"prompt": record.prompt.model_copy(update={"id": id})})


def _prompt(record: Loaded) -> Prompt:
    return record if isinstance(record, Prompt) else record.prompt
