"""Responses of several turns: a policy writes, an environment answers, until a turn is final.

A response is one row of tokens. What the policy wrote stands in it as it was sampled; the
environment's tokens are added after it and never learned from. Nothing is tokenised again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from plaudit.environments.protocol import Environment, Reply
from plaudit.records import FinishReason, Message, Messages, Prompt, Rollout, ToolCall
from plaudit.sampling import Continuation, SamplingParams, Start, TokenSampler
from plaudit.text import Renderer, parse_assistant


@dataclass(slots=True)
class _Conversation:
    """A response being written."""

    prompt: Prompt
    prompt_ids: np.ndarray
    index: int
    room: int
    """Tokens it may still have."""
    parts: list[Continuation] = field(default_factory=list)
    """The policy's turns, and between two of them the environment's."""
    written: list[np.ndarray] = field(default_factory=list)
    turns: Messages = ()
    rendered: Messages = ()
    """The prompt and the turns as the chat template is told of them."""
    text: str = ""
    finish_reason: FinishReason = "stop"
    policy_turns: int = 0

    def add(self, part: Continuation, *, by_policy: bool) -> None:
        self.parts.append(part)
        self.written.append(np.full(len(part.ids), by_policy))
        self.room -= len(part.ids)

    @property
    def start(self) -> Start:
        """What its next turn goes on from; the first turn's seed is that of a plain response."""
        name = f"{self.prompt.id}/{self.policy_turns}" if self.policy_turns else self.prompt.id
        return Start(
            name=name,
            ids=np.concatenate([self.prompt_ids, *(part.ids for part in self.parts)]),
            indices=range(self.index, self.index + 1),
            max_tokens=self.room,
        )

    def rollout(self) -> Rollout:
        return Rollout(
            prompt=self.prompt,
            prompt_ids=self.prompt_ids,
            ids=np.concatenate([part.ids for part in self.parts]),
            logprobs=np.concatenate([part.logprobs for part in self.parts]),
            text=self.text,
            finish_reason=self.finish_reason,
            policy_version=self.parts[-1].policy_version,
            index=self.index,
            written=np.concatenate(self.written),
            messages=self.turns,
        )


class ConversationSampler:
    """A ``Sampler`` whose responses have as many turns as it takes, all live ones in one batch.

    ``params.max_tokens`` bounds a response whole, an environment's tokens included. It ends with a
    token of the policy's: ``stop`` after a final turn, ``length`` where a turn was cut or what
    follows leaves it no room, ``turns`` where its last turn was not final.

    Args:
        engine: goes on from tokens.
        renderer: of the engine's model.
        max_turns: of the policy.
        max_reply_tokens: of each message of the environment; longer ones are cut, with a note.

    Raises:
        ValueError: the chat template has no tool messages, or is not prefix-preserving.
    """

    def __init__(
        self,
        engine: TokenSampler,
        renderer: Renderer,
        environment: Environment,
        *,
        max_turns: int,
        max_reply_tokens: int,
    ) -> None:
        self._engine = engine
        self._renderer = renderer
        self._environment = environment
        self._max_turns = max_turns
        self._max_reply_tokens = max_reply_tokens
        _check_template(renderer)

    def load(self, weights: Mapping[str, Tensor], version: int) -> None:
        self._engine.load(weights, version)

    def sample(self, prompts: Sequence[Prompt], n: int, params: SamplingParams) -> list[Rollout]:
        """As ``Sampler.sample``.

        Raises:
            ValueError: a prompt is plain text, or leaves no room in the model's context.
        """
        conversations = [c for prompt in prompts for c in self._opened(prompt, n, params)]
        # The n responses of a prompt begin together, so that it is computed once.
        starts = [
            Start(name=c.prompt.id, ids=c.prompt_ids, indices=range(n), max_tokens=c.room)
            for c in conversations[::n]
        ]
        live = conversations
        while live:
            for conversation, part in zip(live, self._engine.go_on(starts, params), strict=True):
                self._take_turn(conversation, part)
            live = [c for c in live if self._is_answered(c)]
            starts = [c.start for c in live]
        return [conversation.rollout() for conversation in conversations]

    def _opened(self, prompt: Prompt, n: int, params: SamplingParams) -> list[_Conversation]:
        if isinstance(prompt.content, str):
            raise ValueError(
                f"prompt {prompt.id} is plain text; an environment needs prompts of messages"
            )
        ids = self._renderer.prompt(prompt.content)
        return [
            _Conversation(
                prompt=prompt,
                prompt_ids=ids,
                index=k,
                room=params.max_tokens,
                rendered=prompt.content,
            )
            for k in range(n)
        ]

    def _take_turn(self, conversation: _Conversation, part: Continuation) -> None:
        conversation.add(part, by_policy=True)
        conversation.policy_turns += 1
        conversation.text = self._renderer.text(part.ids)

    def _is_answered(self, conversation: _Conversation) -> bool:
        """Let the environment answer the newest turn; False where the response ends with it."""
        text, cut = conversation.text, conversation.parts[-1].finish_reason == "length"
        final = not cut and self._environment.is_final(text)
        if cut or final or conversation.policy_turns == self._max_turns:
            conversation.finish_reason = "length" if cut else "stop" if final else "turns"
            conversation.turns = (*conversation.turns, _last_turn(text))
            return False
        reply = self._cleaned(
            self._environment.reply(conversation.prompt, conversation.turns, text)
        )
        conversation.turns = (*conversation.turns, reply.turn, *reply.results)
        shown = self._as_rendered(reply)
        ids = self._renderer.between(conversation.rendered, shown, reply.results)
        if len(ids) >= conversation.room:
            conversation.finish_reason = "length"
            return False
        conversation.rendered = (*conversation.rendered, shown, *reply.results)
        version = conversation.parts[-1].policy_version
        conversation.add(_unwritten(ids, version), by_policy=False)
        return True

    def _cleaned(self, reply: Reply) -> Reply:
        """What comes from elsewhere can neither pass for structure nor fill the context."""
        texts = [
            self._renderer.readable(m.content, max_tokens=self._max_reply_tokens)
            for m in reply.results
        ]
        results = [
            m.model_copy(update={"content": text})
            for m, text in zip(reply.results, texts, strict=True)
        ]
        return Reply(turn=reply.turn, results=tuple(results))

    def _as_rendered(self, reply: Reply) -> Message:
        """The policy's turn as the template may be told of it; its own tokens are not taken.

        Templates refuse control tokens, and some a tool's result without a call before it: an
        empty call stands for such a turn.
        """
        of_tools = reply.results[0].role == "tool"
        if of_tools == bool(reply.turn.tool_calls) and not self._renderer.holds_control_tokens(
            reply.turn
        ):
            return reply.turn
        calls = (ToolCall(name="tool", arguments={}),) * len(reply.results) if of_tools else ()
        return Message(role="assistant", content="" if calls else "...", tool_calls=calls)


def _unwritten(ids: np.ndarray, version: int) -> Continuation:
    return Continuation(
        ids=ids,
        logprobs=np.full(len(ids), np.nan, np.float32),
        finish_reason="stop",
        policy_version=version,
    )


def _last_turn(text: str) -> Message:
    try:
        return parse_assistant(text)
    except ValueError:
        return Message(role="assistant", content=text)


def _check_template(renderer: Renderer) -> None:
    """Refuse before anything is sampled a template that could not go on after a tool's result."""
    called = Message(role="assistant", tool_calls=(ToolCall(name="tool", arguments={}),))
    result = Message(role="tool", content="1")
    before: Messages = (Message(role="user", content="?"),)
    for _ in range(2):
        renderer.between(before, called, (result,))
        before = (*before, called, result)
