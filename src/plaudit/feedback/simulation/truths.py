"""What simulated raters know that no real one does: the worth of each candidate, the true answer.

Candidates are found again by what is said, not by an id, since raters are shown no ids.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from plaudit.feedback.rating.rendering import plain_of
from plaudit.judgments import Item, Labelled, Pairwise, Ranked, Rated, RedTeamed, Stepped, Written

UTILITIES = "utilities"
"""The column of an item: a number for each candidate, or a mapping from group to such lists."""

ITEM = (
    'an item: {"id": "...", "prompt": "...", "candidates": [{"content": "..."}, ...], '
    '"columns": {"utilities": [0.3, -0.1]}}, or "gold" in place of utilities'
)

Scorer = Callable[..., Sequence[float | None]]
"""``f(prompts, completions) -> one utility each``, as TRL's reward functions."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Truth:
    """Of one item, its candidates in the order they are shown."""

    utilities: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()
    """The true label, or each step's verdict."""
    demonstration: str = ""


Truths = Callable[[str, Sequence[str], str], Truth]
"""``truth(prompt, texts as shown, group)``."""


def truths_of_items(items: Iterable[Item]) -> Truths:
    """From each item's column ``utilities``, or its gold answer where there is no such column.

    The truth of an item that is not known raises ValueError.
    """
    known = {_key(plain_of(item.prompt), _texts(item)): item for item in items}

    def truth(prompt: str, texts: Sequence[str], group: str) -> Truth:
        item = known.get(_key(prompt, texts))
        if item is None:
            raise ValueError(
                f"no known item has the prompt {prompt[:60]!r} and these {len(texts)} candidates; "
                "expected the file the project's items were read from"
            )
        by_text = dict(zip(_texts(item), _utilities(item, group), strict=False))
        return Truth(
            utilities=tuple(by_text.get(text, 0.0) for text in texts),
            labels=_labels(item),
            demonstration=item.gold.text if isinstance(item.gold, Written) else "",
        )

    return truth


def truths_of_scorer(score: Scorer) -> Truths:
    """From a function of prompts and completions; every group has its taste."""

    def truth(prompt: str, texts: Sequence[str], group: str) -> Truth:
        values = score(prompts=[prompt] * len(texts), completions=list(texts))
        if len(values) != len(texts) or any(value is None for value in values):
            raise ValueError(f"the scorer said {values!r} of {len(texts)} candidates of {prompt!r}")
        return Truth(utilities=tuple(float(value) for value in values if value is not None))

    return truth


def read_items(path: Path) -> list[Item]:
    """Items, one a line.

    Raises:
        ValueError: there is no such file, or a line is no item.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file; expected {ITEM} a line")
    items = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            items += [Item.model_validate_json(line)] if line.strip() else []
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            raise ValueError(f"{path}:{number}: {key}: {first['msg']}; expected {ITEM}") from error
    return items


def _texts(item: Item) -> list[str]:
    return [plain_of(candidate.content) for candidate in item.candidates]


def _key(prompt: str, texts: Sequence[str]) -> tuple[str, ...]:
    return (prompt, *sorted(texts))


def _utilities(item: Item, group: str) -> Sequence[float]:
    match item.columns.get(UTILITIES):
        case Mapping() as by_group:
            if group not in by_group:
                raise ValueError(
                    f"item {item.id}: no utilities for group {group!r}; there are "
                    f"{', '.join(repr(name) for name in by_group)}"
                )
            return _numbers(item, by_group[group])
        case None:
            return _of_gold(item)
        case values:
            return _numbers(item, values)


def _numbers(item: Item, values: Any) -> list[float]:
    if not isinstance(values, list) or len(values) != len(item.candidates):
        raise ValueError(
            f"item {item.id}: column {UTILITIES} is {values!r}; expected a list of "
            f"{len(item.candidates)} numbers"
        )
    return [float(value) for value in values]


def _of_gold(item: Item) -> list[float]:
    """Utilities that say what the gold answer does; all 0 where there is none."""
    match item.gold:
        case Pairwise(strength=strength):
            return [-strength / 2, strength / 2]
        case Ranked(ranks=ranks):
            return [float(-rank) for rank in ranks]
        case Rated(values=values):
            return [value if value is not None else 0.0 for value in values]
        case RedTeamed(severities=severities):
            return [float(value or 0) for value in severities]
    return [0.0] * len(item.candidates)


def _labels(item: Item) -> tuple[str, ...]:
    match item.gold:
        case Labelled(label=label):
            return (label,)
        case Stepped(labels=labels):
            return tuple(label or "wrong" for label in labels)
    return ()
