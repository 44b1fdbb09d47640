"""Rollouts by hand, and what reward models say of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from transformers import AutoTokenizer

from plaudit.records import Invalid, Message, Prompt, Rollout, Score, Text
from plaudit.scoring import open_reward_model
from plaudit.text import Renderer


def rollout(content: Text, text: str, renderer: Renderer, *, cut: bool = False) -> Rollout:
    asked = Prompt(id="p", conversation="p", content=content)
    said: Text = text if isinstance(content, str) else (Message(role="assistant", content=text),)
    ids = renderer.response(content, said).ids
    return Rollout(
        prompt=asked,
        prompt_ids=renderer.prompt(content),
        ids=ids[:-1] if cut else ids,
        logprobs=np.zeros(len(ids) - cut, np.float32),
        text=text,
        finish_reason="length" if cut else "stop",
        policy_version=0,
        index=0,
    )


def opened(path: Path | str, policy: Renderer, *, standardised: bool = False):
    return open_reward_model(
        str(path), policy_tokenizer=policy.tokenizer, precision="float32",
        standardised=standardised,
    )  # fmt: skip


def values(scores: list[Score | Invalid]) -> list[float]:
    assert all(isinstance(score, Score) for score in scores), scores
    return [score.value for score in scores if isinstance(score, Score)]


def small_renderer(base: str) -> Renderer:
    tokenizer = AutoTokenizer.from_pretrained(base)
    return Renderer(tokenizer, (tokenizer.eos_token_id,))
