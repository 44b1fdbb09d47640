"""What a chat template is given, and what is taken from what it writes."""

from __future__ import annotations

import json
from typing import Any

from transformers import PreTrainedTokenizerBase

from plaudit.records import Message


def control_tokens(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """The tokens that are structure, by name or (as most of Llama 3's) only marked special."""
    named: list[str] = list(tokenizer.all_special_tokens)
    marked = [t.content for t in tokenizer.added_tokens_decoder.values() if t.special]
    return sorted({token for token in named + marked if len(token) > 1}, key=len, reverse=True)


def texts_of(message: Message) -> list[str]:
    calls = [json.dumps([c.name, c.arguments], ensure_ascii=False) for c in message.tool_calls]
    return [message.content, *calls]


def as_openai(message: Message) -> dict[str, Any]:
    """A message as chat templates expect it (OpenAI's shape)."""
    shaped: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        shaped["tool_calls"] = [
            {"type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    return shaped


def rest_of(longer: str, shorter: str) -> str:
    if not longer.startswith(shorter):
        raise ValueError(
            "the chat template is not prefix-preserving: with one more message it changes what it "
            f"wrote before (from {shorter[-40:]!r}), so tokens sampled earlier would not be the "
            "tokens learned from; use a template that only appends"
        )
    return longer[len(shorter) :]
