"""Many prompts with their responses as token ids, all cores at it, and kept for the next time.

What is kept lies in ``~/.cache/plaudit/tokens`` (or ``XDG_CACHE_HOME``), a folder of three arrays
for the very same texts under the very same tokenizer and code. Arrays are mapped into memory, not
read: their pages come when a batch asks for them, and go when memory is wanted elsewhere.

Shapes: T tokens of all rows, S parts: of each row the prompt, then its responses.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np

from plaudit import records
from plaudit.caches import cache_place, keep_folder, mark_used
from plaudit.records import Text
from plaudit.text.chat import Renderer
from plaudit.text.pieces import Tokens, pieces_of

LEAST_ROWS = 1_000
"""Fewer are tokenised in a second or two, and not kept."""
_ROWS_AT_ONCE = 256

Found = TypeVar("Found")
Row = tuple[np.ndarray, tuple[Tokens, ...]]
"""A prompt's ids, and its responses'."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt and responses to it."""

    id: str
    prompt: Text
    responses: tuple[Text, ...] = ()


def tokenised(asked: Sequence[Asked], renderer: Renderer) -> Iterator[Row]:
    """``Renderer.with_responses`` of each.

    Raises:
        ValueError: as there, with the prompt's id before it.
    """
    about = renderer.fingerprint() if len(asked) >= LEAST_ROWS else None
    if about is None:
        return _made(asked, renderer)
    place = cache_place("tokens", _digest(asked, about))
    if (kept := _kept(place, asked)) is None:
        arrays = _arrays(_made(asked, renderer))
        keep_folder(place, lambda folder: _write(folder, arrays))
        kept = _kept(place, asked) or arrays
    return _rows(asked, kept)


def _made(asked: Sequence[Asked], renderer: Renderer) -> Iterator[Row]:
    for first in range(0, len(asked), _ROWS_AT_ONCE):
        some = asked[first : first + _ROWS_AT_ONCE]
        rendered = [_named(one, renderer.rendered, one.prompt, one.responses) for one in some]
        pieces = [pieces_of(one) for one in rendered]
        ids = iter(renderer.encoded([piece for of_one in pieces for piece in of_one]))
        for one, text, of_one in zip(some, rendered, pieces, strict=True):
            yield _named(one, renderer.joined, text, list(islice(ids, len(of_one))))


def _named(one: Asked, make: Callable[..., Found], *arguments: object) -> Found:
    try:
        return make(*arguments)
    except ValueError as error:
        raise ValueError(f"{one.id}: {error}") from error


@dataclass(frozen=True, slots=True)
class _Arrays:
    id_T: np.ndarray
    written_T: np.ndarray
    """Whether the model wrote the token."""
    end_S: np.ndarray


def _arrays(rows: Iterable[Row]) -> _Arrays:
    ids: list[np.ndarray] = []
    written: list[np.ndarray] = []
    for prompt_P, responses in rows:
        ids += [prompt_P, *(response.ids for response in responses)]
        written += [np.zeros(len(prompt_P), bool), *(response.mask for response in responses)]
    ends = np.cumsum([len(part) for part in ids], dtype=np.int64)
    return _Arrays(np.concatenate(ids), np.concatenate(written), ends)


def _rows(asked: Sequence[Asked], arrays: _Arrays) -> Iterator[Row]:
    borders, part = [0, *arrays.end_S.tolist()], 0
    for one in asked:
        spans = [slice(*borders[s : s + 2]) for s in range(part, part + 1 + len(one.responses))]
        part += len(spans)
        prompt, *responses = spans
        yield (
            arrays.id_T[prompt],
            tuple(Tokens(ids=arrays.id_T[span], mask=arrays.written_T[span]) for span in responses),
        )


def _write(folder: Path, arrays: _Arrays) -> None:
    for field in fields(arrays):
        np.save(folder / f"{field.name}.npy", getattr(arrays, field.name), allow_pickle=False)


def _kept(place: Path, asked: Sequence[Asked]) -> _Arrays | None:
    """The arrays of these rows, or None where there are none, or what is there is damaged."""
    if not place.is_dir():
        return None
    try:
        arrays = _Arrays(*(_mapped(place / f"{field.name}.npy") for field in fields(_Arrays)))
    except (OSError, ValueError):
        return None
    parts, tokens = sum(1 + len(one.responses) for one in asked), len(arrays.id_T)
    if len(arrays.end_S) != parts or not tokens == len(arrays.written_T) == arrays.end_S[-1]:
        return None
    mark_used(place)
    return arrays


def _mapped(file: Path) -> np.ndarray:
    # A plain array over the mapped one: its slices are a tenth of a mapped array's to make.
    return np.asarray(np.load(file, mmap_mode="r", allow_pickle=False))


def _digest(asked: Sequence[Asked], about: str) -> str:
    """SHA-256 of all that ids depend on."""
    digest = hashlib.sha256(about.encode())
    for file in sorted([Path(records.__file__), *Path(__file__).parent.glob("*.py")]):
        digest.update(file.read_bytes())
    for one in asked:
        texts = [_plain(text) for text in (one.prompt, *one.responses)]
        digest.update(json.dumps(texts).encode())
    return digest.hexdigest()


def _plain(text: Text) -> object:
    if isinstance(text, str):
        return text
    return [
        [turn.role, turn.content, [[call.name, call.arguments] for call in turn.tool_calls]]
        for turn in text
    ]
