"""Chat rendering: messages to token ids and back.

A prompt is rendered once, with the generation prompt that opens the assistant's turn; a response
is what the template adds after it. Tokens the model wrote are marked, the rest (tool results,
later user turns) is context. Texts between these borders are tokenised one by one, exactly as
they are when a model samples, so training and sampling see the same ids.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from plaudit.records import Message, Messages, Text, ToolCall

_BEFORE = 64  # characters of the text before; enough to hold a control token whole


@dataclass(frozen=True, kw_only=True, slots=True)
class Tokens:
    """Token ids, and which of them the model wrote."""

    ids: np.ndarray
    """int32 [T]."""
    mask: np.ndarray
    """bool [T]: True where the model wrote the token."""


class Renderer:
    """Turns prompts and responses into tokens with one tokenizer and its chat template.

    Args:
        tokenizer: any Hugging Face tokenizer; a chat template is needed for messages only.
        stop_ids: the tokens that end a turn; the first of them ends plain text.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, stop_ids: tuple[int, ...]) -> None:
        self.tokenizer = tokenizer
        self.stop_ids = stop_ids
        # SentencePiece's kind puts a space before whatever it is given.
        self._puts_space = not np.array_equal(self._encode("a"), self._encode("\na")[-1:])
        self._control = re.compile("|".join(map(re.escape, _control_tokens(tokenizer))) or r"(?!)")

    def prompt(self, content: Text) -> np.ndarray:
        """The ids a model continues from: never empty."""
        if isinstance(content, str):
            return self._begin(self._encode(content))
        return self._encode(self._render(content, open_turn=True))

    def response(self, prompt: Text, content: Text) -> Tokens:
        """The ids that follow ``prompt``, ending in a stop token.

        Raises:
            ValueError: prompt and response are not of one kind, the response does not begin with
                the assistant, or the chat template is not prefix-preserving.
        """
        if isinstance(content, str) and isinstance(prompt, str):
            ids = np.append(self._encode_after(prompt, content), np.int32(self.stop_ids[0]))
            return Tokens(ids=ids, mask=np.ones(len(ids), dtype=bool))
        if isinstance(content, str) or isinstance(prompt, str):
            raise ValueError("prompt and response must both be text or both be messages")
        if not content or content[0].role != "assistant":
            raise ValueError("a response begins with a message by the assistant")
        return self._turns(prompt, content)

    def document(self, content: Text) -> np.ndarray:
        """A whole text or conversation, from its first token to a last stop token.

        Raises:
            ValueError: the chat template writes no stop token.
        """
        if isinstance(content, str):
            ids = self._begin(self._encode(content))
            return np.append(ids, np.int32(self.stop_ids[0]))
        ids = self._encode(self._render(content, open_turn=False))
        return ids[: self._stops(ids)[-1] + 1]

    def text(self, ids: np.ndarray) -> str:
        """What a person reads: the text of the ids up to the first stop token."""
        stops = np.flatnonzero(np.isin(ids, self.stop_ids))
        kept = ids[: stops[0]] if len(stops) else ids
        decoded = self.tokenizer.decode(
            kept.tolist(), skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return str(decoded)

    def _turns(self, prompt: Messages, content: Messages) -> Tokens:
        """Walk the assistant's turns; all between two of them is context."""
        history = prompt
        covered = self._render(prompt, open_turn=True)
        ids: list[np.ndarray] = []
        written: list[np.ndarray] = []
        for message in content:
            if message.role == "assistant":
                opened = self._render(history, open_turn=True)
                closed = self._render((*history, message), open_turn=False)
                context = self._encode_after(covered, _rest(opened, covered))
                turn, tail = self._split_at_stop(self._encode_after(opened, _rest(closed, opened)))
                ids += [context, turn, tail]
                written += [np.zeros(len(context), bool), np.ones(len(turn), bool)]
                written += [np.zeros(len(tail), bool)]
                covered = closed
            history = (*history, message)
        last = int(np.flatnonzero(np.concatenate(written))[-1]) + 1
        return Tokens(ids=np.concatenate(ids)[:last], mask=np.concatenate(written)[:last])

    def _split_at_stop(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        first = self._stops(ids)[0]
        return ids[: first + 1], ids[first + 1 :]

    def _stops(self, ids: np.ndarray) -> np.ndarray:
        """Where the stop tokens stand; there is one."""
        stops = np.flatnonzero(np.isin(ids, self.stop_ids))
        if not len(stops):
            names = self.tokenizer.convert_ids_to_tokens(list(self.stop_ids))
            raise ValueError(
                f"the chat template ends an assistant's turn with none of the stop tokens {names}, "
                "so a model could never learn to stop; add the template's own to eos_token_id in "
                "the model's generation_config.json"
            )
        return stops

    def _begin(self, ids: np.ndarray) -> np.ndarray:
        """Plain text begins with the tokenizer's first token, as the model was pretrained."""
        first = self.tokenizer.bos_token_id
        if first is None:
            first = self.tokenizer.eos_token_id
        assert first is not None, "load_tokenizer refuses tokenizers without a stop token"
        return np.concatenate([np.array([first], dtype=np.int32), ids])

    def _encode(self, text: str) -> np.ndarray:
        ids = self.tokenizer.encode(text, add_special_tokens=False)
        return np.asarray(ids, dtype=np.int32)

    def _encode_after(self, before: str, text: str) -> np.ndarray:
        """The ids of a text that goes on from another, without a space put between them."""
        if not self._puts_space:
            return self._encode(text)
        before = before[-_BEFORE:]
        first, whole = self._encode(before), self._encode(before + text)
        goes_on = np.array_equal(whole[: len(first)], first)
        return whole[len(first) :] if goes_on else self._encode(text)

    def _render(self, messages: Messages, *, open_turn: bool) -> str:
        for message in messages:
            self._refuse_control_tokens(message)
        try:
            return str(
                self.tokenizer.apply_chat_template(
                    [as_openai(message) for message in messages],
                    tokenize=False,
                    add_generation_prompt=open_turn,
                )
            )
        except (TemplateError, ValueError) as error:
            roles = " ".join(message.role for message in messages)
            whose = f"of {name} " if (name := self.tokenizer.name_or_path) else ""
            raise ValueError(f"the chat template {whose}refuses {roles!r}: {error}") from error

    def _refuse_control_tokens(self, message: Message) -> None:
        calls = [json.dumps([c.name, c.arguments], ensure_ascii=False) for c in message.tool_calls]
        for text in (message.content, *calls):
            if found := self._control.search(text):
                raise ValueError(
                    f"the {message.role}'s message holds {found[0]!r}, which the model reads as "
                    "structure; remove it from the data"
                )


def _control_tokens(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """The tokens that are structure, by name or (as most of Llama 3's) only marked special."""
    named: list[str] = list(tokenizer.all_special_tokens)
    marked = [t.content for t in tokenizer.added_tokens_decoder.values() if t.special]
    return sorted({token for token in named + marked if len(token) > 1}, key=len, reverse=True)


def as_openai(message: Message) -> dict[str, Any]:
    """A message as chat templates expect it (OpenAI's shape)."""
    shaped: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        shaped["tool_calls"] = [
            {"type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    return shaped


CALL = "<|call|>"
_HERMES_OPEN, _HERMES_CLOSE = "<tool_call>", "</tool_call>"


def parse_assistant(text: str) -> Message:
    """Read a sampled turn back into a message, tool calls included.

    Understands nano's ``<|call|>name {json}`` and Hermes' ``<tool_call>{json}</tool_call>``, which
    Qwen and others use.

    Raises:
        ValueError: a tool call is begun but is not a name with a JSON object of arguments.
    """
    if CALL in text:
        content, *calls = text.split(CALL)
        return _message(content, [_parse_call(*call.strip().partition(" ")[::2]) for call in calls])
    if _HERMES_OPEN in text:
        content, *blocks = text.split(_HERMES_OPEN)
        parsed = [_parse_hermes(block) for block in blocks]
        said = [content, *(after for _, after in parsed)]
        words = "\n".join(part.strip() for part in said if part.strip())
        return _message(words, [call for call, _ in parsed])
    return _message(text, [])


def _message(content: str, calls: list[ToolCall]) -> Message:
    return Message(role="assistant", content=content.strip(), tool_calls=tuple(calls))


def _parse_hermes(block: str) -> tuple[ToolCall, str]:
    """The call, and what the model said after it."""
    body, closed, after = block.partition(_HERMES_CLOSE)
    value = _parse_object(body) if closed else None
    if value is None or not isinstance(value.get("name"), str):
        raise ValueError(f"not a tool call: {block.strip()[:80]!r}")
    return _parse_call(value["name"], json.dumps(value.get("arguments", {}))), after


def _parse_call(name: str, arguments: str) -> ToolCall:
    value = _parse_object(arguments)
    if value is None or not name:
        raise ValueError(f"not a tool call: {name} {arguments[:80]}")
    return ToolCall(name=name, arguments=value)


def _parse_object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
        json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except (ValueError, RecursionError):  # what a model writes may be nested without end
        return None
    return value if isinstance(value, dict) else None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _rest(longer: str, shorter: str) -> str:
    if not longer.startswith(shorter):
        raise ValueError(
            "the chat template is not prefix-preserving: with one more message it changes what it "
            f"wrote before (from {shorter[-40:]!r}), so tokens sampled earlier would not be the "
            "tokens learned from; use a template that only appends"
        )
    return longer[len(shorter) :]
