"""Chat rendering: messages to token ids and back.

A prompt is rendered once, with the generation prompt that opens the assistant's turn; a response
is what the template adds after it. Tokens the model wrote are marked, the rest (tool results,
later user turns) is context. Texts between these borders are tokenised one by one, exactly as
they are when a model samples, so training and sampling see the same ids.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import tokenizers
import transformers
from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from plaudit.records import Message, Messages, Text
from plaudit.text.pieces import Piece, Rendered, Tokens, pieces_of
from plaudit.text.templates import as_openai, control_tokens, rest_of, texts_of

_MIXED = "prompt and response must both be text or both be messages"
_BEFORE = 64  # characters of the text before; enough to hold a control token whole


class Renderer:
    """Turns prompts and responses into tokens with one tokenizer and its chat template.

    Args:
        tokenizer: any Hugging Face tokenizer; a chat template is needed for messages only.
        stop_ids: the tokens that end a turn; the first of them ends plain text.
        tools: what the chat template tells the model it may call, in OpenAI's shape.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        stop_ids: tuple[int, ...],
        tools: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self.tokenizer = tokenizer
        self.stop_ids = stop_ids
        self._tools: list[Any] = [dict(tool) for tool in tools]
        # SentencePiece's kind puts a space before whatever it is given.
        self._puts_space = not np.array_equal(self._encode("a"), self._encode("\na")[-1:])
        self._control = re.compile("|".join(map(re.escape, control_tokens(tokenizer))) or r"(?!)")

    def with_tools(self, tools: Sequence[Mapping[str, Any]]) -> Renderer:
        """A renderer that tells the model of tools.

        Raises:
            ValueError: the chat template has no place for tools.
        """
        told = Renderer(self.tokenizer, self.stop_ids, tools)
        asked = (Message(role="user", content="?"),)
        if np.array_equal(told.prompt(asked), self.prompt(asked)):
            raise ValueError(
                "the chat template tells the model of no tools; set describe_tools: false and "
                "describe them in the prompts"
            )
        return told

    def prompt(self, content: Text) -> np.ndarray:
        """The ids a model continues from: never empty."""
        return self.with_responses(content, [])[0]

    def response(self, prompt: Text, content: Text) -> Tokens:
        """The ids that follow ``prompt``, ending in a stop token.

        Raises:
            ValueError: prompt and response are not of one kind, the response does not begin with
                the assistant, or the chat template is not prefix-preserving.
        """
        return self.with_responses(prompt, [content])[1][0]

    def with_responses(
        self, prompt: Text, contents: Sequence[Text]
    ) -> tuple[np.ndarray, tuple[Tokens, ...]]:
        """What ``prompt`` gives, and what ``response`` gives of each; the prompt is rendered once.

        Raises:
            ValueError: as ``response``.
        """
        rendered = self.rendered(prompt, contents)
        return self.joined(rendered, self.encoded(pieces_of(rendered)))

    def rendered(self, prompt: Text, contents: Sequence[Text]) -> Rendered:
        """The first half of ``with_responses``, without a token yet.

        Raises:
            ValueError: as ``response``, but for a turn that never stops.
        """
        if isinstance(prompt, str):
            return Rendered(
                prompt=Piece(text=prompt),
                begins=True,
                responses=tuple(self._plain(prompt, content) for content in contents),
            )
        opened = self._render(prompt, open_turn=True)
        return Rendered(
            prompt=Piece(text=opened),
            responses=tuple(self._turns(prompt, opened, content) for content in contents),
        )

    def encoded(self, pieces: Sequence[Piece]) -> list[np.ndarray]:
        """The ids of each piece by itself; many at once take all cores."""
        if self._puts_space:
            return [self._encode_after(piece.before, piece.text) for piece in pieces]
        texts = [piece.text for piece in pieces]
        found = self.tokenizer(texts, add_special_tokens=False, return_attention_mask=False)
        return [np.asarray(ids, dtype=np.int32) for ids in found["input_ids"]]

    def joined(
        self, rendered: Rendered, ids: Sequence[np.ndarray]
    ) -> tuple[np.ndarray, tuple[Tokens, ...]]:
        """The second half of ``with_responses``.

        Args:
            ids: of each of its pieces, in their order.

        Raises:
            ValueError: the chat template ends a turn with no stop token.
        """
        prompt, *rest = ids
        left = iter(rest)
        responses = tuple(
            self._joined(pieces, list(islice(left, len(pieces)))) for pieces in rendered.responses
        )
        return self._begin(prompt) if rendered.begins else prompt, responses

    def fingerprint(self) -> str | None:
        """All that ids depend on beside the text; None of a tokenizer that cannot be known."""
        known = type(self.tokenizer).__module__.startswith("transformers.")
        if not known or not isinstance(self.tokenizer, PreTrainedTokenizerFast):
            return None
        about = {
            "class": type(self.tokenizer).__qualname__,
            "tokenizer": self.tokenizer.backend_tokenizer.to_str(),
            "template": self.tokenizer.chat_template,
            "special": self.tokenizer.special_tokens_map,
            "splits_special": self.tokenizer.split_special_tokens,
            "stops": self.stop_ids,
            "tools": self._tools,
            "versions": [transformers.__version__, tokenizers.__version__],
        }
        return json.dumps(about, default=str)

    def between(self, before: Messages, turn: Message, replies: Messages) -> np.ndarray:
        """The ids between the stop token of an assistant's turn and the first of its next.

        They are ``replies`` with what the template writes around them: what it writes of ``turn``
        itself is left out, since those tokens were sampled.

        Raises:
            ValueError: the chat template is not prefix-preserving, or refuses the messages.
        """
        opened = self._render(before, open_turn=True)
        closed = self._render((*before, turn), open_turn=False)
        _, tail = self._split_at_stop(self._encode_after(opened, rest_of(closed, opened)))
        reopened = self._render((*before, turn, *replies), open_turn=True)
        return np.concatenate([tail, self._encode_after(closed, rest_of(reopened, closed))])

    def readable(self, text: str, *, max_tokens: int) -> str:
        """Text from elsewhere as content: no control tokens, cut with a note where it is long."""
        plain = self._control.sub(" ", text)
        ids = self._encode(plain)
        if len(ids) <= max_tokens:
            return plain
        kept = str(self.tokenizer.decode(ids[:max_tokens].tolist())).rstrip("\ufffd")
        return f"{kept}... (cut: {max_tokens} of {len(ids)} tokens)"

    def holds_control_tokens(self, message: Message) -> bool:
        """Whether the template would refuse the message, since it would read as structure."""
        return any(self._control.search(text) for text in texts_of(message))

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

    def _plain(self, prompt: str, content: Text) -> tuple[Piece, ...]:
        if not isinstance(content, str):
            raise ValueError(_MIXED)
        return (Piece(text=content, before=prompt, kind="text"),)

    def _turns(self, prompt: Messages, opened: str, content: Text) -> tuple[Piece, ...]:
        """Walk the assistant's turns, the first of which is open; all between two is context."""
        if isinstance(content, str):
            raise ValueError(_MIXED)
        if not content or content[0].role != "assistant":
            raise ValueError("a response begins with a message by the assistant")
        history, covered = prompt, opened
        pieces: list[Piece] = []
        for message in content:
            if message.role == "assistant":
                if history is not prompt:
                    opened = self._render(history, open_turn=True)
                    pieces.append(Piece(text=rest_of(opened, covered), before=covered))
                covered = self._render((*history, message), open_turn=False)
                pieces.append(Piece(text=rest_of(covered, opened), before=opened, kind="turn"))
            history = (*history, message)
        return tuple(pieces)

    def _joined(self, pieces: Sequence[Piece], ids: Sequence[np.ndarray]) -> Tokens:
        parts: list[tuple[np.ndarray, bool]] = []
        for piece, found in zip(pieces, ids, strict=True):
            if piece.kind == "turn":
                turn, tail = self._split_at_stop(found)
                parts += [(turn, True), (tail, False)]
            elif piece.kind == "text":
                parts.append((np.append(found, np.int32(self.stop_ids[0])), True))
            else:
                parts.append((found, False))
        written = np.concatenate([np.full(len(found), by_model) for found, by_model in parts])
        last = int(np.flatnonzero(written)[-1]) + 1
        return Tokens(ids=np.concatenate([found for found, _ in parts])[:last], mask=written[:last])

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
                    tools=self._tools or None,
                    tokenize=False,
                    add_generation_prompt=open_turn,
                )
            )
        except (TemplateError, ValueError) as error:
            roles = " ".join(message.role for message in messages)
            whose = f"of {name} " if (name := self.tokenizer.name_or_path) else ""
            raise ValueError(f"the chat template {whose}refuses {roles!r}: {error}") from error

    def _refuse_control_tokens(self, message: Message) -> None:
        for text in texts_of(message):
            if found := self._control.search(text):
                raise ValueError(
                    f"the {message.role}'s message holds {found[0]!r}, which the model reads as "
                    "structure; remove it from the data"
                )
