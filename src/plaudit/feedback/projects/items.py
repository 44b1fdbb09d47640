"""The items of a project: read from its data files, checked, and put into the store.

Two kinds of rows do harm if they are shown: candidates that are equal (whoever compares them says
nothing) are left out and counted, and candidates that name a model are flagged.
"""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from plaudit.feedback.projects.project import ItemSource, Project
from plaudit.feedback.projects.questions import Question, candidates_needed
from plaudit.formats import Row, detect
from plaudit.formats.shapes import SHAPES
from plaudit.formats.sources import read_source
from plaudit.judgments import Candidate, Item, Pairwise
from plaudit.records import Demonstration, Judged, Prompt, Response, SteppedResponse, Text

ITEM = '{"id": "...", "prompt": "...", "candidates": [{"content": "..."}, ...]}'

LEAK = "leak"
"""The column of an item that has the model names which its candidates give away."""
MODEL_NAMES = (
    "alibaba", "anthropic", "chatglm", "chatgpt", "claude", "cohere", "deepseek", "deepmind",
    "gemini", "gemma", "google ai", "gpt-3", "gpt-3.5", "gpt-4", "gpt-4o", "gpt-5", "grok", "koala",
    "laion", "llama", "lmsys", "meta ai", "mistral", "mixtral", "open assistant", "openai",
    "palm 2", "qwen", "tulu", "vicuna", "xai", "zhipu",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadedItems:
    """What the data files of a project hold."""

    items: tuple[Item, ...]
    left_out: dict[str, int]
    """How many rows were left out, by reason."""
    leaks: dict[str, tuple[str, ...]]
    """By item, the model names its candidates give away; those items are among ``items`` unless
    the project leaves them out."""


def load_items(project: Project, folder: Path) -> LoadedItems:
    """The items of all data files; ``folder`` is where the project file stands.

    Raises:
        ValueError: a row cannot be read or does not fit its question, or an id comes twice.
    """
    found = itertools.chain.from_iterable(
        _of_source(project, number, source, folder) for number, source in enumerate(project.items)
    )
    left_out: Counter[str] = Counter()
    items: dict[str, Item] = {}
    leaks: dict[str, tuple[str, ...]] = {}
    find_names = names_finder(project.model_names)
    for item in found:
        if item.id in items:
            raise ValueError(f"item {item.id}: comes twice; expected ids that are unique")
        if has_equal_candidates(item):
            left_out["equal candidates"] += 1
            continue
        if names := find_names(item):
            leaks[item.id] = names
            if project.on_leak == "leave_out":
                left_out["names a model"] += 1
                continue
            item = flagged(item, names)
        items[item.id] = item
    return LoadedItems(items=tuple(items.values()), left_out=dict(left_out), leaks=leaks)


def flagged(item: Item, names: Sequence[str]) -> Item:
    """The item with the model names that its candidates give away among its columns."""
    return item.model_copy(update={"columns": {**item.columns, LEAK: list(names)}})


def has_equal_candidates(item: Item) -> bool:
    """Whether two candidates differ in white space at most."""
    texts = [" ".join(plain_text(candidate.content).split()) for candidate in item.candidates]
    return len(set(texts)) < len(texts)


def plain_text(content: Text) -> str:
    """What a reader would see of a text or of messages."""
    if isinstance(content, str):
        return content
    return "\n".join(f"{message.role}: {message.content}" for message in content)


def names_finder(further: Sequence[str]) -> Callable[[Item], tuple[str, ...]]:
    """A function from an item to the model names that stand in its candidates as words of their
    own, whatever their case."""
    names = sorted({*MODEL_NAMES, *(name.lower() for name in further)}, key=len, reverse=True)
    pattern = re.compile(rf"(?<!\w)({'|'.join(map(re.escape, names))})(?!\w)", re.IGNORECASE)

    def find(item: Item) -> tuple[str, ...]:
        texts = (plain_text(candidate.content) for candidate in item.candidates)
        return tuple(sorted({hit.lower() for text in texts for hit in pattern.findall(text)}))

    return find


def _of_source(project: Project, number: int, source: ItemSource, folder: Path) -> Iterator[Item]:
    where = f"items.{number}"
    name = str(folder / source.dataset) if (folder / source.dataset).exists() else source.dataset
    try:
        rows = (row for _, part in read_source(name) for row in part)
        items = (item for row in rows for item in _of_row(project, source, row))
        yield from itertools.islice(items, source.limit)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _of_row(project: Project, source: ItemSource, row: Row) -> Iterable[Item]:
    if "candidates" in row.value or ("id" in row.value and "steps" in row.value):
        items = [_own_item(row, source)]
    else:
        shape = SHAPES[detect(row)]
        question = project.question(source.question)
        items = [_with_source(item, source) for item in _items_of(shape.read(row), question, row)]
    for item in items:
        _check(item, project, row)
    if source.is_gold and any(item.gold is None for item in items):
        row.fail("is gold, but holds no answer to this question", "a preference, or no is_gold")
    return items


def _own_item(row: Row, source: ItemSource) -> Item:
    value = {"question": source.question, "stratum": source.stratum} | row.value
    try:
        return Item.model_validate_json(json.dumps(value))
    except ValidationError as error:
        fault = error.errors()[0]
        row.fail(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}", ITEM)


def _with_source(item: Item, source: ItemSource) -> Item:
    changed: dict[str, object] = {"stratum": source.stratum}
    return item.model_copy(update=changed if source.is_gold else changed | {"gold": None})


def _check(item: Item, project: Project, row: Row) -> None:
    question = project.question(item.question)
    fewest, most = candidates_needed(question.kind)
    if not fewest <= len(item.candidates) <= most:
        expected = str(fewest) if fewest == most else f"{fewest} to {most}"
        row.fail(
            f"has {len(item.candidates)} candidates, which {question.kind} cannot ask about",
            f"{expected} candidates",
        )
    if question.kind == "steps" and not item.steps:
        row.fail("has no steps to judge", '"steps": ["...", ...]')
    if item.gold is not None and item.gold.kind != question.kind:
        row.fail(f"its gold answer is {item.gold.kind}", f"{question.kind}")


def _items_of(
    record: Prompt | Demonstration | Judged | SteppedResponse, question: Question, row: Row
) -> list[Item]:
    match record:
        case Prompt():
            return [_item(record, question, ())]
        case Demonstration() if question.kind == "demonstration":
            return [_item(record.prompt, question, ())]
        case Demonstration():
            return [_item(record.prompt, question, (record.response,))]
        case SteppedResponse():
            whole = Response(content="\n".join(record.steps))
            return [
                _item(record.prompt, question, (whole,)).model_copy(update={"steps": record.steps})
            ]
        case Judged() if question.kind == "demonstration":
            return [_item(record.prompt, question, ())]
        case Judged() if question.kind == "pairwise":
            return _pairs(record, question)
        case Judged():
            return [_item(record.prompt, question, record.responses)]


def _item(prompt: Prompt, question: Question, responses: Sequence[Response]) -> Item:
    candidates = tuple(Candidate(content=r.content, source=r.source) for r in responses)
    return Item(
        id=prompt.id, question=question.name, prompt=prompt.content, candidates=candidates,
        columns=prompt.columns,
    )  # fmt: skip


def _pairs(judged: Judged, question: Question) -> list[Item]:
    """Every two responses; more than two get ids that say which."""
    many = len(judged.responses) > 2
    better = {
        (p.better, p.worse): p.probability for p in judged.preferences if p.probability != 0.5
    }
    items = []
    for i, j in itertools.combinations(range(len(judged.responses)), 2):
        item = _item(judged.prompt, question, (judged.responses[i], judged.responses[j]))
        changed: dict[str, object] = {"gold": _gold(better, i, j)}
        changed |= {"id": f"{item.id}/{i}-{j}"} if many else {}
        items.append(item.model_copy(update=changed))
    return items


def _gold(better: dict[tuple[int, int], float], i: int, j: int) -> Pairwise | None:
    if (i, j) in better:
        return Pairwise(strength=-2 if better[i, j] > 0.5 else 2)
    if (j, i) in better:
        return Pairwise(strength=2 if better[j, i] > 0.5 else -2)
    return None
