"""A small model of nano's kind and small data sets, for tests that run whole stages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from plaudit.artifacts import Artifact
from plaudit.config import make_config
from plaudit.formats import load_demonstrations
from plaudit.models import save_model
from plaudit.models.nano import new_llama
from plaudit.pipeline import stage_module
from plaudit.text import plain_text, train_tokenizer

DIALOGUES = "plaudit/coffee-bar/dialogues.jsonl.gz"
RATINGS = "plaudit/coffee-bar/ratings.jsonl.gz"
TOOLS = "plaudit/coffee-bar/tools.json"


def small_checkpoint(
    path: Path, *, seed: int = 0, vocab_size: int = 500, hidden_size: int = 48
) -> Path:
    """A Llama of two layers with random weights, and a tokenizer trained on a few dialogues."""
    demonstrations = load_demonstrations(DIALOGUES, portion=(0.0, 0.03))
    texts = [plain_text(d.prompt.content) for d in demonstrations]
    texts += [plain_text(d.response.content) for d in demonstrations]
    tokenizer = train_tokenizer(texts, vocab_size=vocab_size)
    model = new_llama(
        tokenizer,
        hidden_size=hidden_size,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        seed=seed,
    )
    save_model(model, tokenizer, path)
    return path


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def run_stage(stage: str, output: Path, **options: Any) -> Artifact:
    """Run a stage as the command line would."""
    module = stage_module(stage)
    return module.run(make_config(module.CONFIG, options, stage), output)


def polite_pairs(count: int = 48) -> list[dict[str, Any]]:
    """Preferences anybody can learn: the polite answer is the better one."""
    drinks = ["latte", "mocha", "tea", "espresso", "cortado", "americano"]
    return [
        {
            "prompt": [{"role": "user", "content": f"one {drinks[i % 6]} number {i}"}],
            "chosen": [{"role": "assistant", "content": f"sure, a {drinks[i % 6]}, thank you!"}],
            "rejected": [{"role": "assistant", "content": f"no {drinks[i % 6]} for you"}],
        }
        for i in range(count)
    ]


def count_of_e(prompts: list, completions: list, **columns: list) -> list[float | None]:
    """A reward function of TRL's signature: how much of a completion is the letter e."""
    texts = [c if isinstance(c, str) else c[0]["content"] for c in completions]
    return [text.count("e") / max(4, len(text)) for text in texts]
