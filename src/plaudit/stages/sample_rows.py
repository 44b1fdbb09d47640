"""From a prompt's candidates to rows of the formats other stages read."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from plaudit.records import Prompt
from plaudit.stages import sample_selection as selection
from plaudit.stages.sample_gathering import Candidate, is_right
from plaudit.stages.sample_options import SampleConfig
from plaudit.text import as_openai, parse_assistant

OWN_KEYS = ("prompt", "completion", "chosen", "rejected", "label", "margin", "score")


def kept(config: SampleConfig, prompt: Prompt, candidates: Sequence[Candidate]) -> list[Candidate]:
    """The usable candidates that the rule selects."""
    usable = [c for c in candidates if c.unusable is None]
    if config.select == "correct":
        return [c for c in usable if is_right(c)]
    if config.select == "all" or not usable:
        return usable
    scores_K = [c.score for c in usable if c.score is not None]
    assert len(scores_K) == len(usable), "a candidate without a score is unusable"
    return [usable[k] for k in _selected(config, prompt, scores_K)]


def rows_of(config: SampleConfig, prompt: Prompt, kept: Sequence[Candidate]) -> list[dict]:
    """Rows for ``selected.jsonl``, each with the prompt and the other columns of its own row."""
    if config.write == "pairs":
        return _pairs(config, prompt, kept)
    rows = []
    for c in kept:
        said = {} if c.score is None else {"score": c.score}
        if config.write == "ratings":
            assert c.score is not None and config.threshold is not None
            said["label"] = c.score >= config.threshold
        rows.append({**_asked(prompt), "completion": _content(prompt, c), **said})
    return rows


def _selected(config: SampleConfig, prompt: Prompt, scores_K: list[float]) -> list[int]:
    if config.select == "best":
        return selection.best(scores_K)
    if config.select == "threshold":
        assert config.threshold is not None
        return selection.above(scores_K, config.threshold)
    assert config.rso_beta is not None and config.rso_keep is not None
    # Of the prompt alone, so that a cut changes nothing.
    digest = hashlib.sha256(f"{config.seed}/{prompt.id}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    return selection.rejection_sample(scores_K, beta=config.rso_beta, keep=config.rso_keep, rng=rng)


def _pairs(config: SampleConfig, prompt: Prompt, kept: Sequence[Candidate]) -> list[dict]:
    if not kept:
        return []
    scores_K = np.array([c.score for c in kept], float)
    pairing = config.pairing or "best_and_worst"
    pairs = getattr(selection, pairing)(scores_K)
    return [
        {
            **_asked(prompt),
            "chosen": _content(prompt, kept[better]),
            "rejected": _content(prompt, kept[worse]),
            "margin": float(scores_K[better] - scores_K[worse]),
        }
        for better, worse in pairs
        if _content(prompt, kept[better]) != _content(prompt, kept[worse])
    ]


def _asked(prompt: Prompt) -> dict[str, Any]:
    columns = {key: value for key, value in prompt.columns.items() if key not in OWN_KEYS}
    content = prompt.content
    asked = content if isinstance(content, str) else [as_openai(message) for message in content]
    return {**columns, "prompt": asked}


def _content(prompt: Prompt, candidate: Candidate) -> str | list[dict[str, Any]]:
    if candidate.turns is not None:
        return candidate.turns
    if isinstance(prompt.content, str):
        return candidate.text
    return [as_openai(parse_assistant(candidate.text))]
