"""Several scorers as one, and scorers that read or turn what another says.

Nothing here weighs or scales rewards: that needs a memory from step to step, which the stage keeps.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from plaudit.records import Invalid, Rollout, Score
from plaudit.scoring.protocol import Scorer
from plaudit.text import Renderer

Parts = Mapping[str, Score]
"""What each source says of one response, by the source's name."""
Cut = Callable[[str], tuple[int, int] | None]
"""Where a span of a response's text begins and ends, in characters; None where it has none."""
PER_TOKEN = ("ids", "logprobs", "written")


@dataclass(frozen=True, kw_only=True, slots=True)
class RewardSources:
    """Scorers by name. A response is invalid as soon as one of them has no score for it."""

    scorers: Mapping[str, Scorer]

    def score(self, rollouts: Sequence[Rollout]) -> list[Parts | Invalid]:
        """The parts, or the first reason why one is lacking, for each rollout in order."""
        found = {name: scorer.score(rollouts) for name, scorer in self.scorers.items()}
        rows = [{name: scores[i] for name, scores in found.items()} for i in range(len(rollouts))]
        return [self._gathered(row) for row in rows]

    def _gathered(self, row: Mapping[str, Score | Invalid]) -> Parts | Invalid:
        parts: dict[str, Score] = {}
        for name, score in row.items():
            if isinstance(score, Invalid):
                return score if len(row) == 1 else Invalid(reason=f"{name}: {score.reason}")
            parts[name] = score
        return parts


@dataclass(frozen=True, kw_only=True, slots=True)
class SpanScorer:
    """Shows a scorer only a part of each response: its text, and its tokens as they were sampled.

    DeepSeek-R1 judged helpfulness by the final summary alone and harmlessness by the whole answer.
    The stop token stays, since reward models read their score there.
    """

    scorer: Scorer
    cut: Cut
    renderer: Renderer
    without_span: float | None = None
    """The score of a response without the span; None makes it invalid."""

    def score(self, rollouts: Sequence[Rollout]) -> list[Score | Invalid]:
        spans = [self.cut(rollout.text) for rollout in rollouts]
        shown = [
            _part(rollout, *span, self.renderer)
            for rollout, span in zip(rollouts, spans, strict=True)
            if span is not None
        ]
        scores = iter(self.scorer.score(shown) if shown else [])
        return [self._without() if span is None else next(scores) for span in spans]

    def _without(self) -> Score | Invalid:
        if self.without_span is None:
            return Invalid(reason="the response lacks the span that is judged")
        return Score(value=self.without_span)


def inside(tag: str) -> Cut:
    """What stands in the last ``<tag>...</tag>``."""
    return lambda text: _last_span(rf"<{re.escape(tag)}>(.+?)</{re.escape(tag)}>", text)


def after(tag: str) -> Cut:
    """What follows the first ``</tag>``."""
    return lambda text: _last_span(rf"</{re.escape(tag)}>(.+)\Z", text)


@dataclass(frozen=True, kw_only=True, slots=True)
class CosineLengthScorer:
    """Turns right and wrong (a score above one half is right) into a reward that knows the length.

    ``r = r_L + (r_0 - r_L) (1 + cos(pi L / max_tokens)) / 2`` from ``r_0`` for an answer of no
    tokens to ``r_L`` for one of which the policy wrote ``max_tokens``, with ends of their own for
    right and wrong answers: a right one had better be short, a wrong one may think longer. An
    answer cut at the limit gets ``exceeded``. Yeo et al. 2025, "Demystifying Long Chain-of-Thought
    Reasoning", equation 1.
    """

    scorer: Scorer
    max_tokens: int
    right_short: float
    """``r_0`` of a right answer; ``long`` is its ``r_L``."""
    right_long: float
    wrong_short: float
    wrong_long: float
    exceeded: float

    def score(self, rollouts: Sequence[Rollout]) -> list[Score | Invalid]:
        return [
            score if isinstance(score, Invalid) else Score(value=self._value(rollout, score.value))
            for rollout, score in zip(rollouts, self.scorer.score(rollouts), strict=True)
        ]

    def _value(self, rollout: Rollout, score: float) -> float:
        if rollout.finish_reason == "length":
            return self.exceeded
        right = (self.right_short, self.right_long)
        ends = right if score > 0.5 else (self.wrong_short, self.wrong_long)
        return cosine_between(*ends, min(1.0, rollout.written.sum() / self.max_tokens))


def cosine_between(first: float, last: float, share: float) -> float:
    """Half a cosine from ``first`` (share 0) to ``last`` (share 1)."""
    return last + 0.5 * (first - last) * (1.0 + math.cos(math.pi * share))


def _last_span(pattern: str, text: str) -> tuple[int, int] | None:
    found = list(re.finditer(pattern, text, re.DOTALL))
    return found[-1].span(1) if found else None


def _part(rollout: Rollout, begin: int, end: int, renderer: Renderer) -> Rollout:
    """The rollout with only the tokens of its last turn that hold characters ``begin`` to ``end``,
    and the stop."""
    turn = rollout.last_turn
    counts = range(len(rollout.ids) - turn + 1)
    written = lambda n: len(renderer.text(rollout.ids[turn : turn + n]))  # noqa: E731
    first = max(0, bisect_left(counts, begin + 1, key=written) - 1)
    last = bisect_left(counts, end, key=written)
    kept = list(range(turn + first, turn + last))
    if rollout.finish_reason == "stop":
        kept.append(len(rollout.ids) - 1)
    cut = {name: getattr(rollout, name)[kept] for name in PER_TOKEN}
    return replace(rollout, text=rollout.text[begin:end], messages=(), **cut)
