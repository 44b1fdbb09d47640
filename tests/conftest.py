"""What many tests share: a real tokenizer, a real browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright
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


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real browser, for pages as people see them."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium here; .ci/run installs it")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-background-networking"]
        )
        yield started
        started.close()
