"""RewardSources of reward: what is said of each, and how they are opened.

A source is a reward model, a function, a verifier, a check of tool calls, or a rule. How several
become one reward is in ``rl_combine``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field, model_validator

from plaudit.assets import shipped
from plaudit.config import Config
from plaudit.formats import local_inputs
from plaudit.models import Roles
from plaudit.models.loading import Precision
from plaudit.scoring import (
    CosineLengthScorer,
    FunctionScorer,
    LengthScorer,
    RepetitionScorer,
    RewardSources,
    Scorer,
    SpanScorer,
    ToolCallScorer,
    after,
    inside,
    load_tools,
    open_reward_model,
    open_verifier,
)
from plaudit.stages.options import Count, Positive, Share
from plaudit.text import Renderer

KINDS = ("reward_model", "function", "verifier", "tool_calls", "rule")
RULES: Mapping[str, type[Scorer]] = {"length": LengthScorer, "repetition": RepetitionScorer}
Normalisation = Literal["none", "reference", "running", "min_max", "sigmoid", "par"]


class ToolCallOptions(Config):
    """Valid tool calls score 1, broken ones 0."""

    tools: str
    """JSON file of the tools, in OpenAI's shape."""
    without_call: Share = 0.5
    """Score of a turn that calls no tool."""


class CosineLengthOptions(Config):
    """Let a source's right and wrong (above one half or not) depend on length (Yeo et al. 2025)."""

    max_tokens: Count
    """Tokens of the longest response: max_completion_length."""
    right_short: float = 2.0
    """Reward of a right response of no tokens."""
    right_long: float = 1.0
    """Of a right one of max_tokens."""
    wrong_short: float = -10.0
    """Of a wrong one of no tokens."""
    wrong_long: float = 0.0
    """Of a wrong one of max_tokens."""
    exceeded: float = -10.0
    """Reward of a response cut at the limit."""


class SourceOptions(Config):
    """One source of reward; its scores are normalised, then clipped, then weighted."""

    reward_model: str | None = None
    """A model whose scores are the reward."""
    function: str | None = None
    """Or a function, package.module:name, of TRL's signature."""
    verifier: str | None = None
    """Or a verifier by name, for answers that can be checked."""
    options: dict[str, Any] = Field(default_factory=dict)
    """The verifier's options."""
    tool_calls: ToolCallOptions | None = None
    """Or a check of tool calls."""
    rule: Literal["length", "repetition"] | None = None
    """Or a rule: tokens of the response, or its share of 3-grams that stood in it before."""
    weight: float = 1.0
    """Share in the combined reward; negative for what is to be avoided."""
    normalisation: Normalisation = "none"
    """Scores as they are; standardised by the reward model's reference or by all so far; between 0
    and 1 by the least and greatest so far (min_max) or by the logistic function (sigmoid); or as a
    preference over the reference policy's responses to the prompt (par: Fu et al. 2025)."""
    clip: Positive | None = None
    """Bound on a score's magnitude, once normalised."""
    reference_samples: Count = 1
    """For par: responses of the reference policy to each prompt, sampled and scored at start."""
    reference_column: str | None = None
    """For par: the column of the data that holds their rewards, in place of sampling."""
    span: Literal["whole", "answer", "after"] = "whole"
    """What is shown to the source: all, what stands in the last <tag>...</tag>, or what follows the
    first </tag>."""
    tag: str = "answer"
    """The span's tag."""
    without_span: float | None = None
    """Score of a response without the span; null makes it invalid."""
    cosine: CosineLengthOptions | None = None
    """Make right and wrong depend on length."""
    at_steps: bool = False
    """Of a process reward: reward each step where it ends, by its share, in place of the whole at
    the last token."""

    @model_validator(mode="after")
    def _refuse_what_does_not_apply(self) -> SourceOptions:
        par = self.normalisation == "par"
        default = type(self).model_fields
        faults = {
            f"exactly one of {', '.join(KINDS)} must be given": (
                sum(getattr(self, kind) is not None for kind in KINDS) != 1
            ),
            "options: only a verifier takes them": bool(self.options) and self.verifier is None,
            "normalisation: only a reward_model has a reference; use running": (
                self.normalisation == "reference" and self.reward_model is None
            ),
            "reference_samples: only normalisation par reads it": (
                not par and self.reference_samples != default["reference_samples"].default
            ),
            "reference_column: only normalisation par reads it": (
                not par and self.reference_column is not None
            ),
            "reference_samples: not read where reference_column has the rewards": (
                self.reference_column is not None
                and self.reference_samples != default["reference_samples"].default
            ),
            "tag: read only with span answer or after": (
                self.span == "whole" and self.tag != default["tag"].default
            ),
            "at_steps: only a process reward_model judges steps, of the whole response": (
                self.at_steps and (self.reward_model is None or self.span != "whole")
            ),
            "at_steps: steps are taken as scored; leave out normalisation and clip": (
                self.at_steps and (self.normalisation != "none" or self.clip is not None)
            ),
            "without_span: read only with span answer or after": (
                self.span == "whole" and self.without_span is not None
            ),
        }
        for fault, present in faults.items():
            if present:
                raise ValueError(fault)
        return self

    @property
    def samples_reference(self) -> bool:
        return self.normalisation == "par" and self.reference_column is None


class Loading(NamedTuple):
    """How reward models are loaded, and how much they read at a time."""

    precision: Precision
    device: str
    trust_remote_code: bool
    token_budget: int


def shorthand(
    reward_model: str | None, function: str | None, normalisation: Normalisation, clip: float | None
) -> dict[str, SourceOptions]:
    """The one source that ``reward_model`` or ``reward_function`` stands for."""
    name = "reward_model" if reward_model else "reward_function"
    source = SourceOptions(
        reward_model=reward_model, function=function, normalisation=normalisation, clip=clip
    )
    return {name: source}


def source_inputs(sources: Mapping[str, SourceOptions]) -> dict[str, Path]:
    """What lies on disk of the sources, by ``rewards/NAME``."""
    named = {
        f"rewards/{name}": source.tool_calls.tools if source.tool_calls else source.reward_model
        for name, source in sources.items()
    }
    return local_inputs(**named)


def open_sources(
    sources: Mapping[str, SourceOptions],
    renderer: Renderer,
    loading: Loading,
    adapted: Mapping[str, Roles] | None = None,
) -> RewardSources:
    """Open every source.

    Args:
        adapted: roles that hold a reward model already, by the model's name.

    Raises:
        ValueError: one cannot be opened; the message begins with its name where there are several.
    """
    scorers: dict[str, Scorer] = {}
    for name, source in sources.items():
        try:
            scorer = _scorer(source, renderer, loading, adapted or {})
            scorers[name] = _wrapped(source, scorer, renderer)
        except ValueError as error:
            if len(sources) == 1:
                raise
            raise ValueError(f"rewards.{name}: {error}") from error
    return RewardSources(scorers=scorers)


def _scorer(
    source: SourceOptions, renderer: Renderer, loading: Loading, adapted: Mapping[str, Roles]
) -> Scorer:
    if source.reward_model is not None:
        return open_reward_model(
            source.reward_model,
            policy_tokenizer=renderer.tokenizer,
            standardised=source.normalisation == "reference",
            roles=adapted.get(source.reward_model),
            **loading._asdict(),
        )
    if source.function is not None:
        return FunctionScorer(source.function)
    if source.tool_calls is not None:
        tools = source.tool_calls.tools
        return ToolCallScorer(
            tools=load_tools(shipped(tools) or Path(tools)),
            without_call=source.tool_calls.without_call,
        )
    if source.rule is not None:
        return RULES[source.rule]()
    assert source.verifier is not None
    return open_verifier(source.verifier, source.options)


def _wrapped(source: SourceOptions, scorer: Scorer, renderer: Renderer) -> Scorer:
    """The scorer of a source, shown the span and turned by length where the source says so."""
    if source.span != "whole":
        cut = {"answer": inside, "after": after}[source.span](source.tag)
        scorer = SpanScorer(
            scorer=scorer, cut=cut, renderer=renderer, without_span=source.without_span
        )
    if source.cosine is not None:
        scorer = CosineLengthScorer(scorer=scorer, **source.cosine.model_dump())
    return scorer
