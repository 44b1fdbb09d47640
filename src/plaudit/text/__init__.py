"""The one border between text and tokens: chat rendering, trees, token-budget batches."""

from plaudit.text.batches import micro_batches
from plaudit.text.calls import parse_assistant
from plaudit.text.chat import Renderer
from plaudit.text.pieces import Tokens
from plaudit.text.steps import step_ends, stepped_trees
from plaudit.text.templates import as_openai
from plaudit.text.tokenizer import (
    eos_id,
    load_tokenizer,
    pad_id,
    plain_text,
    save_tokenizer,
    train_tokenizer,
)
from plaudit.text.trees import Tree, demonstration_trees, judged_trees, prompts_within

__all__ = [
    "Renderer",
    "Tokens",
    "Tree",
    "as_openai",
    "demonstration_trees",
    "eos_id",
    "judged_trees",
    "load_tokenizer",
    "micro_batches",
    "pad_id",
    "parse_assistant",
    "plain_text",
    "prompts_within",
    "save_tokenizer",
    "step_ends",
    "stepped_trees",
    "train_tokenizer",
]
