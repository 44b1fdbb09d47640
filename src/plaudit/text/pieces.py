"""A prompt and its responses between text and tokens: pieces that are tokenised one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True, kw_only=True, slots=True)
class Tokens:
    """Token ids, and which of them the model wrote."""

    ids: np.ndarray
    """int32 [T]."""
    mask: np.ndarray
    """bool [T]: True where the model wrote the token."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """Text that is tokenised by itself."""

    text: str
    before: str = ""
    """What it goes on from."""
    kind: Literal["context", "turn", "text"] = "context"
    """A turn is the model's up to its first stop token; plain text is, and gets a stop token."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendered:
    """A prompt and its responses as text."""

    prompt: Piece
    begins: bool = False
    """Whether the tokenizer's first token comes before it."""
    responses: tuple[tuple[Piece, ...], ...]


def pieces_of(rendered: Rendered) -> list[Piece]:
    """All of them, the prompt's first."""
    return [rendered.prompt, *(piece for pieces in rendered.responses for piece in pieces)]
