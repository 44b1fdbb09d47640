"""Small random data, as token ids for us and as words for TRL's trainers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tokenizers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from plaudit.text import Tokens, Tree
from tests.tiny import VOCAB

END = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A prompt and its responses, each ending with the stop token."""

    prompt: list[int]
    responses: tuple[list[int], ...]


def asked(counts: Sequence[int], *, seed: int = 0) -> list[Asked]:
    """Prompts with so many random responses each, of 2 to 8 tokens."""
    rng = np.random.default_rng(seed)
    draw = lambda least, most: rng.integers(3, VOCAB, rng.integers(least, most)).tolist()  # noqa: E731
    return [
        Asked(prompt=draw(3, 7), responses=tuple([*draw(1, 8), END] for _ in range(count)))
        for count in counts
    ]


def words(ids: Sequence[int]) -> str:
    """Ids as text that ``word_tokenizer`` reads as the same ids; the stop token is TRL's to add."""
    return " ".join(f"w{i}" for i in ids if i != END)


def word_tokenizer() -> PreTrainedTokenizerBase:
    """One word, one token; no token that begins a text, which some trainers would add."""
    vocabulary = {"<pad>": 0, "<s>": 1, "</s>": END, **{f"w{i}": i for i in range(3, VOCAB)}}
    model = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<pad>"))
    model.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=model, pad_token="<pad>", eos_token="</s>")


def tree_of(one: Asked) -> Tree:
    """The prompt once, with all its responses."""
    written = [np.array(ids, np.int32) for ids in one.responses]
    return Tree(
        id="asked",
        prompt_P=np.array(one.prompt, np.int32),
        branches=tuple(Tokens(ids=ids, mask=np.ones(len(ids), bool)) for ids in written),
    )


def pair_trees(data: Sequence[Asked], **labels: float) -> list[Tree]:
    """Each prompt's first response is better than its second; all pairs weigh the same."""
    said = {"probability": 1.0, "margin": 0.0, **labels, "weight": 1 / len(data)}
    values = {name: np.array([value], np.float32) for name, value in said.items()}
    sides = {"better": np.array([0]), "worse": np.array([1])}
    return [tree_of(one).with_pair_labels(**sides, **values) for one in data]
