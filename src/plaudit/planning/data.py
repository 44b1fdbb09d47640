"""Lengths of a stage's data: tokenised rows where they are on disk, else what was stated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from plaudit.formats import (
    Portion,
    load_demonstrations,
    load_judged,
    load_prompts,
    load_stepped,
    local_inputs,
)
from plaudit.formats.generated import is_generated
from plaudit.models import model_path, stop_ids
from plaudit.planning.rows import SAMPLED_ROWS, Lengths, Row
from plaudit.text import (
    Renderer,
    Tree,
    demonstration_trees,
    judged_trees,
    load_tokenizer,
    stepped_trees,
)

T = TypeVar("T")

NANO = "plaudit/nano"


class Found(NamedTuple):
    """All rows of a data set counted, and the lengths of some."""

    count: int
    rows: list[Row]


@dataclass(frozen=True, kw_only=True, slots=True)
class Stated:
    """What the user says of data that cannot be read; None where nothing was said."""

    rows: int | None = None
    prompt_tokens: int | None = None
    response_tokens: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Reader:
    """Reads lengths as a stage's model would.

    Args:
        tokenizer: of which model; None where the model's own cannot be had.
        kept: filled as data is read.
    """

    tokenizer: str | None
    stated: Stated
    kept: dict[tuple, Found]
    """What was read already."""

    def demonstrations(self, dataset: str, portion: Portion, max_length: int) -> Lengths:
        def read() -> Found:
            rows = load_demonstrations(dataset, portion=portion)
            return Found(len(rows), self._rows(rows, demonstration_trees))

        return self._within(("demonstrations", dataset, portion), read, max_length, branches=1)

    def judged(self, dataset: str, portion: Portion, max_length: int) -> Lengths:
        def read() -> Found:
            rows = load_judged(dataset, portion=portion)
            return Found(len(rows), self._rows(rows, judged_trees))

        return self._within(("judged", dataset, portion), read, max_length, branches=2)

    def stepped(self, dataset: str, portion: Portion, max_length: int, separator: str) -> Lengths:
        def read() -> Found:
            rows = load_stepped(dataset, portion=portion)
            return Found(len(rows), self._rows(rows, lambda r, to: stepped_trees(r, to, separator)))

        return self._within(("stepped", dataset, portion), read, max_length, branches=1)

    def prompts(
        self, dataset: str, portion: Portion, config: Any, *, responses: int, most: int = 0
    ) -> Lengths:
        """Prompts with the responses that will be sampled: as long as was stated, or as may be."""
        limit = config.max_completion_length
        response = min(self.stated.response_tokens or limit, limit)
        written = f"responses of {response} tokens ({self._of_responses()})"

        def read() -> Found:
            found = load_prompts(dataset, portion=portion)
            picked = _spread(found)
            lengths = [len(self._renderer().prompt(one.content)) for one in picked]
            return Found(len(found), [Row.alike(n, 1) for n in lengths])

        known = self._read(("prompts", dataset, portion), read)
        if known is None:
            prompt = min(self.stated.prompt_tokens or config.max_prompt_length, config.max_prompt_length)  # noqa: E501  # fmt: skip
            said = f"prompts of {prompt} tokens ({self._of_prompts()}), {written}"
            rows = (Row.alike(prompt, response, responses),)
            return Lengths(rows=rows, count=self.stated.rows, said=said)
        lengths = [r.prompt for r in known.rows if r.prompt <= config.max_prompt_length]
        if not lengths:
            raise ValueError(
                f"max_prompt_length={config.max_prompt_length}: none of {len(known.rows)} prompts "
                f"tried of {dataset} fits"
            )
        count = round(known.count * len(lengths) / len(known.rows))
        count = min(count, most) if most else count
        said = f"{dataset}: {len(known.rows)} of {known.count} prompts tokenised; {written}"
        rows = tuple(Row.alike(n, response, responses) for n in lengths)
        return Lengths(rows=rows, count=count, said=said)

    def _within(
        self,
        key: tuple,
        read: Callable[[], Found],
        max_length: int,
        *,
        branches: int,
    ) -> Lengths:
        """The rows that are not left out for their length, or rows as long as was stated."""
        found = self._read(key, read)
        if found is None:
            return self._assumed(max_length, branches)
        (count, rows), dataset = found, key[1]
        kept = [row for row in rows if row.longest <= max_length]
        if not kept:
            raise ValueError(f"max_length={max_length}: none of {len(rows)} rows tried of {dataset} fits")  # noqa: E501  # fmt: skip
        share = len(kept) / len(rows)
        said = f"{dataset}: {len(rows)} of {count} rows tokenised"
        said += f", {share:.0%} of which fit max_length={max_length}" if share < 1 else ""
        return Lengths(rows=tuple(kept), count=round(count * share), said=said)

    def _assumed(self, max_length: int, branches: int) -> Lengths:
        response = min(self.stated.response_tokens or max_length // 2, max_length - 1)
        prompt = min(self.stated.prompt_tokens or max_length - response, max_length - response)
        said = f"prompts of {prompt} tokens ({self._of_prompts()}), "
        said += f"{branches} response{'s' if branches > 1 else ''} of {response}"
        rows = (Row.alike(prompt, response, branches),)
        return Lengths(rows=rows, count=self.stated.rows, said=said)

    def _of_prompts(self) -> str:
        return "as stated" if self.stated.prompt_tokens else "the most that the options allow"

    def _of_responses(self) -> str:
        return "as stated" if self.stated.response_tokens else "the most that the options allow"

    def _read(self, key: tuple, read: Callable[[], Found]) -> Found | None:
        """None where the data is on the hub or yet to be written, or nothing tokenises it.

        Args:
            key: what the data is read as, its name, and its portion.
        """
        if self.tokenizer is None or not on_disk(key[1]):
            return None
        key = (self.tokenizer, *key)
        if key not in self.kept:
            self.kept[key] = read()
        return self.kept[key]

    def _rows(
        self, records: Sequence[T], trees: Callable[[Sequence[T], Renderer], Iterator[Tree]]
    ) -> list[Row]:
        return [Row.of(tree) for tree in trees(_spread(records), self._renderer())]

    def _renderer(self) -> Renderer:
        assert self.tokenizer is not None, "checked before anything is read"
        tokenizer = load_tokenizer(model_path(self.tokenizer))
        return Renderer(tokenizer, stop_ids(self.tokenizer, tokenizer))


def on_disk(dataset: str) -> bool:
    """Whether a data set can be read without a download."""
    if is_generated(dataset):
        return True
    try:
        paths = local_inputs(dataset=dataset).values()
    except ValueError:
        return False
    return bool(paths) and all(path.exists() for path in paths)


def has_tokenizer(model: str) -> bool:
    """Whether a model's tokenizer can be had without a download."""
    try:
        return (Path(model_path(model)) / "tokenizer_config.json").is_file()
    except ValueError:
        return False


def _spread(records: Sequence[T]) -> list[T]:
    """Some of them, evenly spread."""
    return list(records[:: -(-len(records) // SAMPLED_ROWS)])
