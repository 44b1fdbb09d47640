"""Responses and their scores, as the sample stage keeps them on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from plaudit.records import FinishReason, Invalid, Message, Prompt, Rollout
from plaudit.sampling import Sampler, SamplingParams
from plaudit.scoring import Scorer, read_turn
from plaudit.stages.sample_options import VERDICT_RIGHT
from plaudit.text import Renderer, as_openai

UNFINISHED: Mapping[FinishReason, str] = {
    "length": "cut at max_completion_length",
    "turns": "out of turns",
}


class Candidate(NamedTuple):
    """One response: its score, or why it can be of no use."""

    text: str
    score: float | None
    unusable: str | None
    hinted: bool = False
    """Sampled with a hint that the prompt, as written, does not hold."""
    turns: list[dict[str, Any]] | None = None
    """All its turns in OpenAI's shape, where an environment took part; ``text`` is the last."""

    def shown(self) -> dict[str, Any]:
        """Without the keys that say nothing."""
        said = self._asdict().items()
        return {key: value for key, value in said if value is not None and value is not False}


@dataclass(frozen=True, kw_only=True)
class Gathering:
    """Samples, scores, and asks again with a hint."""

    sampler: Sampler
    renderer: Renderer
    scorer: Scorer | None
    num_generations: int
    params: SamplingParams
    hint: str | None

    def gather(self, prompts: Sequence[Prompt]) -> list[list[Candidate]]:
        """Each prompt's responses; those with a hint come after those without."""
        found = self._ask(prompts, hinted=False)
        if self.hint is None:
            return found
        missed = [i for i, same in enumerate(found) if not any(map(is_right, same))]
        if not missed:
            return found
        again = self._ask([with_hint(prompts[i], self.hint) for i in missed], hinted=True)
        for i, more in zip(missed, again, strict=True):
            found[i] += more
        return found

    def _ask(self, prompts: Sequence[Prompt], *, hinted: bool) -> list[list[Candidate]]:
        n = self.num_generations
        rollouts = self.sampler.sample(prompts, n, self.params)
        scores = self.scorer.score(rollouts) if self.scorer else [None] * len(rollouts)
        candidates = []
        for rollout, score in zip(rollouts, scores, strict=True):
            unusable = fault_of(rollout, self.renderer)
            if isinstance(score, Invalid):
                unusable = unusable or score.reason
            value = None if score is None or isinstance(score, Invalid) else score.value
            turns = [as_openai(turn) for turn in rollout.messages] or None
            candidates.append(Candidate(rollout.text, value, unusable, hinted, turns))
        return [candidates[i : i + n] for i in range(0, len(candidates), n)]


def is_right(candidate: Candidate) -> bool:
    score = candidate.score
    return candidate.unusable is None and score is not None and score >= VERDICT_RIGHT


def with_hint(prompt: Prompt, hint: str) -> Prompt:
    """The prompt with the hint after what was asked last.

    Raises:
        ValueError: the hint names a column that the prompt's row does not have.
    """
    try:
        said = hint.format_map(prompt.columns)
    except (KeyError, ValueError, IndexError) as error:
        raise ValueError(
            f"{prompt.id}: hint: {error} is no column of its row; it has "
            f"{', '.join(sorted(prompt.columns)) or 'none'}"
        ) from error
    content = prompt.content
    if isinstance(content, str):
        return prompt.model_copy(update={"content": content + said})
    last = content[-1].model_copy(update={"content": f"{content[-1].content}\n{said}"})
    return prompt.model_copy(update={"content": (*content[:-1], last)})


def fault_of(rollout: Rollout, renderer: Renderer) -> str | None:
    """Why nothing can be learned from a response: as text it would end where it was cut, or be read
    as other than what was sampled."""
    if rollout.finish_reason in UNFINISHED:
        return UNFINISHED[rollout.finish_reason]
    if not rollout.text.strip():
        return "empty"
    said = rollout.messages or (Message(role="assistant", content=rollout.text),)
    try:
        turns = [read_turn(turn) for turn in said if turn.role == "assistant"]
    except ValueError:
        return "a tool call that cannot be read"
    if any(renderer.holds_control_tokens(turn) for turn in turns):
        return "a token of the chat template's structure"
    return None
