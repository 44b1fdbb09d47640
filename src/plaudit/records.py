"""The records that flow between stages: plain data, frozen, validated where they enter.

A record never has a field that is filled in later. What a step adds is a new type:
``Prompt -> Response -> Judged -> tree with labels`` on the way to a reward model,
``Prompt -> Rollout -> Scored`` on the way to a policy update.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

Role = Literal["system", "user", "assistant", "tool"]


class Record(BaseModel):
    """Frozen, keyword-only, strict: no coercion, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ToolCall(Record):
    """One call of a tool, as the model wrote it."""

    name: str
    arguments: dict[str, JsonValue]


class Message(Record):
    """One turn of a conversation.

    Example: ``Message(role="assistant", tool_calls=(ToolCall(name="show_menu", arguments={}),))``
    """

    role: Role
    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()


Messages = tuple[Message, ...]
Text = str | Messages
"""Plain text (tokenised as it stands) or messages (rendered by the model's chat template)."""


class Prompt(Record):
    """What a model is asked."""

    id: str
    """Unique in its data set; where the source has none, the file's name and line."""
    conversation: str
    """Prompts that share it are never split between training and test, and count as one cluster."""
    content: Text
    columns: dict[str, JsonValue] = Field(default_factory=dict)
    """What else its row says, for reward functions (an answer to check against, a source)."""


class Response(Record):
    """A continuation of a prompt: text after text, messages after messages."""

    content: Text
    source: str = ""
    """Who wrote it (a model, a person); empty where the data does not say."""


class Preference(Record):
    """One response of a group against another."""

    better: int = Field(ge=0)
    worse: int = Field(ge=0)
    probability: float = Field(default=1.0, ge=0.0, le=1.0)
    """That ``better`` really is the better one: 1 for a hard label, the posterior of a soft one."""
    margin: float = 0.0
    """How much better, in the reward's unit (Llama 2's margin loss); 0 where not said."""
    weight: float = Field(default=1.0, gt=0.0)


class Rating(Record):
    """An absolute judgment of one response."""

    response: int = Field(ge=0)
    value: float = Field(ge=0.0, le=1.0)
    """0 is bad, 1 is good."""
    weight: float = Field(default=1.0, gt=0.0)


class Demonstration(Record):
    """A prompt and the response to imitate.

    In a response of several messages only the assistant's turns are learned; the rest is context.
    """

    prompt: Prompt
    response: Response


class Judged(Record):
    """A prompt, its K responses, and what was said of them."""

    prompt: Prompt
    responses: tuple[Response, ...] = Field(min_length=1)
    preferences: tuple[Preference, ...] = ()
    ratings: tuple[Rating, ...] = ()

    @model_validator(mode="after")
    def _refer_to_responses(self) -> Judged:
        named = [i for p in self.preferences for i in (p.better, p.worse)]
        named += [r.response for r in self.ratings]
        if named and max(named) >= len(self.responses):
            raise ValueError(
                f"a judgment names response {max(named)}, but there are {len(self.responses)}"
            )
        if any(p.better == p.worse for p in self.preferences):
            raise ValueError("a preference compares a response with itself")
        return self


class SteppedResponse(Record):
    """A response in steps, each labelled right or wrong: supervision of the process."""

    prompt: Prompt
    steps: tuple[str, ...] = Field(min_length=1)
    labels: tuple[bool, ...] = Field(min_length=1)
    probabilities: tuple[Annotated[float, Field(ge=0, le=1)], ...] = ()
    """That each step is right, where labels are soft; then a label says it is above one half."""

    @model_validator(mode="after")
    def _label_every_step(self) -> SteppedResponse:
        if len(self.steps) != len(self.labels):
            raise ValueError(f"{len(self.steps)} steps but {len(self.labels)} labels")
        if self.probabilities and len(self.probabilities) != len(self.steps):
            raise ValueError(f"{len(self.steps)} steps but {len(self.probabilities)} probabilities")
        return self


FinishReason = Literal["stop", "length", "turns"]
"""The policy ended its response; the tokens ran out; it called a tool and had no turn left."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rollout:
    """One response as it was sampled: its tokens are learned from, never its text tokenised anew.

    A response of several turns is one row of tokens: those of an environment (a tool's result)
    stand where they stood for the policy, and are not ``written``.

    Example: ``Rollout(prompt=..., ids=[521, 88, 2], logprobs=[-0.1, -2.3, -0.0],
    finish_reason="stop", policy_version=7, ...)``
    """

    prompt: Prompt
    prompt_ids: np.ndarray
    ids: np.ndarray
    """The stop token included where there is one."""
    logprobs: np.ndarray
    """Of each token under the policy at the sampling temperature, before any filter, in nats; NaN
    where the policy did not write the token, so that none is learned from by mistake."""
    text: str
    """Of its last turn, up to the stop token."""
    finish_reason: FinishReason
    policy_version: int
    index: int
    """Which of the prompt's n responses it is."""
    written: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    """bool [T]: True where the policy wrote the token; everywhere, where not said."""
    messages: Messages = ()
    """All its turns as messages, where an environment took part."""

    def __post_init__(self) -> None:
        if not len(self.written):
            object.__setattr__(self, "written", np.ones(len(self.ids), bool))
        assert len(self.ids) == len(self.logprobs) == len(self.written), "one entry a token"

    @property
    def last_turn(self) -> int:
        """Where its last turn, of which ``text`` is the text, begins in ``ids``."""
        given = np.flatnonzero(~self.written)
        return int(given[-1]) + 1 if len(given) else 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """What a scorer says of a response."""

    value: float
    parts: Mapping[str, float] = field(default_factory=dict)
    """What the value was made of, by name."""
    steps: Sequence[tuple[int, float]] = ()
    """Where the process is judged: the place among the response's tokens of each that ends a step,
    and the reward there. The value is made of them, so who learns from steps adds no value."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Invalid:
    """A score that could not be given: counted and shown, never taken for 0."""

    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Scored:
    """A rollout with its score."""

    rollout: Rollout
    score: Score
