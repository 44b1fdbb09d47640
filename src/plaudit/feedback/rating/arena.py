"""The arena: a rater's own prompt, answered twice by a served model, becomes a pair to judge."""

from __future__ import annotations

import asyncio
import os
import secrets
from typing import Any, NamedTuple

import httpx
from pydantic import JsonValue

from plaudit.feedback.assignment.giving import Assignment, give_item
from plaudit.feedback.projects.items import flagged, has_equal_candidates, names_finder
from plaudit.feedback.projects.project import Arena, Project
from plaudit.judgments import Candidate, Item
from plaudit.store import Store, add_items, get_item
from plaudit.store.assignment_queue import ARENA_STRATUM


class NoAnswer(RuntimeError):
    """The served model did not give two answers; the rater may try again."""


class Answer(NamedTuple):
    """What the served model wrote."""

    text: str
    is_cut_off: bool
    """It came to ``arena.max_tokens``."""


async def answer_twice(arena: Arena, prompt: str) -> tuple[Answer, Answer]:
    """Two answers of the served model to one prompt, drawn apart.

    Raises:
        NoAnswer: the server cannot be reached, refuses, is too slow, or answers with no text.
        ValueError: the key's environment variable is not set.
    """
    headers = {"Authorization": f"Bearer {key_of(arena)}"} if arena.key_variable else {}
    timeout = httpx.Timeout(arena.timeout_seconds)
    async with httpx.AsyncClient(timeout=timeout, headers=headers) as client:
        first, second = await asyncio.gather(
            _answer(client, arena, prompt, 0), _answer(client, arena, prompt, 1)
        )
    return first, second


def make_item(project: Project, prompt: str, answers: tuple[Answer, Answer]) -> Item:
    """The pair to judge; flagged where an answer names a model, as items of data files are, and
    with the answers that were cut off among its columns.

    Raises:
        NoAnswer: both answers are the same, or one names a model and the project leaves those out.
    """
    assert project.arena is not None
    model = project.arena.model
    cut_off: list[JsonValue] = [place for place, answer in enumerate(answers) if answer.is_cut_off]
    item = Item(
        id=f"arena-{secrets.token_hex(8)}", question=project.arena.question, prompt=prompt,
        candidates=tuple(Candidate(content=answer.text, source=model) for answer in answers),
        stratum=ARENA_STRATUM, columns={"cut_off": cut_off} if cut_off else {},
    )  # fmt: skip
    if has_equal_candidates(item):
        raise NoAnswer("the model answered the same twice; ask something else")
    names = names_finder((*project.model_names, model))(item)
    if names and project.on_leak == "leave_out":
        raise NoAnswer("an answer names a model, so it cannot be judged blind; ask something else")
    return flagged(item, names) if names else item


def put_before(store: Store, project: Project, rater: str, item: Item) -> Assignment:
    """The item in the store, and before this rater ahead of anything they have open."""
    add_items(store, project.id, [item], project.votes_wanted(ARENA_STRATUM))
    stored = get_item(store, project.id, item.id)
    assert stored is not None
    return give_item(store, project.id, rater, stored.number)


def key_of(arena: Arena) -> str:
    """The served model's key, from the environment.

    Raises:
        ValueError: the variable is not set.
    """
    key = os.environ.get(arena.key_variable, "")
    if not key:
        raise ValueError(f"arena.key_variable: {arena.key_variable} is not set; export it")
    return key


async def _answer(client: httpx.AsyncClient, arena: Arena, prompt: str, seed: int) -> Answer:
    body = {
        "model": arena.model, "messages": [{"role": "user", "content": prompt}],
        "temperature": arena.temperature, "top_p": arena.top_p, "max_tokens": arena.max_tokens,
        "seed": secrets.randbits(31) * 2 + seed,
    }  # fmt: skip
    try:
        response = await client.post(f"{arena.url.rstrip('/')}/chat/completions", json=body)
        response.raise_for_status()
        answer = _read(response.json())
    except httpx.TimeoutException as error:
        raise NoAnswer("the model took too long to answer; try again") from error
    except (httpx.HTTPError, ValueError) as error:
        raise NoAnswer("the model cannot be asked just now; try again later") from error
    if not answer.text.strip():
        raise NoAnswer("the model answered with nothing; ask in other words")
    return answer


def _read(reply: Any) -> Answer:
    """What an OpenAI-compatible server answered.

    Raises:
        ValueError: it is not of that shape.
    """
    match reply:
        case {"choices": [{"message": {"content": str(text)}} as choice, *_]}:
            return Answer(text, is_cut_off=choice.get("finish_reason") == "length")
    raise ValueError("expected choices[0].message.content")
