"""What many tests share: a real tokenizer."""

from __future__ import annotations

import pytest
from transformers import PreTrainedTokenizerFast

from plaudit.formats import load_demonstrations
from plaudit.text import plain_text, train_tokenizer
from tests.rows import DIALOGUES


@pytest.fixture(scope="session")
def coffee_tokenizer() -> PreTrainedTokenizerFast:
    """Of nano's kind, trained on a few dialogues; copy it before changing it."""
    demonstrations = load_demonstrations(DIALOGUES, portion=(0.0, 0.03))
    texts = [plain_text(d.prompt.content) for d in demonstrations]
    texts += [plain_text(d.response.content) for d in demonstrations]
    return train_tokenizer(texts, vocab_size=600)
