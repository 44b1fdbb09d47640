"""The one border between text and tokens: chat rendering, trees, token-budget batches."""

from plaudit.text.batches import micro_batches
from plaudit.text.calls import parse_assistant
from plaudit.text.chat import Renderer, Tokens, as_openai
from plaudit.text.steps import step_ends, stepped_tree
from plaudit.text.tokenizer import (
    eos_id,
    load_tokenizer,
    pad_id,
    plain_text,
    save_tokenizer,
    train_tokenizer,
)
from plaudit.text.trees import Tree, demonstration_tree, judged_tree, prompts_within

__all__ = [
    "Renderer",
    "Tokens",
    "Tree",
    "as_openai",
    "demonstration_tree",
    "eos_id",
    "judged_tree",
    "load_tokenizer",
    "micro_batches",
    "pad_id",
    "parse_assistant",
    "plain_text",
    "prompts_within",
    "save_tokenizer",
    "step_ends",
    "stepped_tree",
    "train_tokenizer",
]
