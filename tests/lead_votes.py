"""A project with votes in it: honest raters, one who takes the left, one who tosses a coin."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from plaudit.judgments import Candidate, Item, Judgment, Pairwise, Rater, fingerprint
from plaudit.store import Store, add_items, append, people

DAY = 86400.0
STRATA = ("chat", "code", "safety")
Habit = Callable[[random.Random, int, tuple[int, int]], int]
"""From chance, the right answer (0 or 1) and the order shown: which candidate is taken."""


def honest(accuracy: float) -> Habit:
    return lambda rng, right, shown: right if rng.random() < accuracy else 1 - right


def leftmost(rng: random.Random, right: int, shown: tuple[int, int]) -> int:
    return shown[0]


RATERS: dict[str, Habit] = {
    "Ann": honest(0.9),
    "Ben": honest(0.85),
    "Cyd": honest(0.8),
    "Dee": honest(0.9),
    "Lefty": leftmost,
    "Coin": honest(0.5),
}


def pair(number: int, gold: int | None = None) -> Item:
    texts = (f"Grind the beans finely, dose {number} grams.", "Use whatever is at hand, really.")
    return Item(
        id=f"pair-{number:04d}",
        prompt=f"How do I make espresso number {number}?",
        candidates=tuple(Candidate(content=text, source="secret-7b") for text in texts),
        stratum=STRATA[number % len(STRATA)],
        gold=None if gold is None else Pairwise(strength=2 if gold else -2),
    )


def filled(
    store: Store, project: str, items: int = 200, votes: int = 3, seed: int = 0, gold: int = 20
) -> dict[str, str]:
    """Raters' ids by name; votes are spread over the last ten days."""
    rng, now = random.Random(seed), time.time()
    truth = [rng.randrange(2) for _ in range(items)]
    pairs = [pair(n, truth[n] if n < gold else None) for n in range(items)]
    add_items(store, project, pairs, votes)
    ids = {}
    for name in RATERS:
        ids[name] = people.new_rater(store, now - 11 * DAY, name, "simulated")
        people.add_member(store, project, ids[name])
    said = []
    for number, item in enumerate(pairs):
        asked = list(RATERS) if number < gold else rng.sample(list(RATERS), votes)
        at = now - 10 * DAY * (1 - number / items)
        said += [vote(rng, project, item, name, ids[name], truth[number], at) for name in asked]
    append(store, said)
    return ids


def vote(
    rng: random.Random, project: str, item: Item, name: str, rater: str, right: int, at: float
) -> Judgment:
    shown = (0, 1) if rng.random() < 0.5 else (1, 0)
    taken = RATERS[name](rng, right, shown)
    strength = 0 if rng.random() < 0.08 and name != "Lefty" else rng.choice([1, 2, 2, 3])
    style = tuple(float(rng.choice([2, 3, 4])) for _ in range(2))
    return Judgment(
        id=f"{item.id}-{rater}",
        project=project,
        item=item.id,
        item_sha256=fingerprint(item),
        rater=Rater(id=rater, kind="simulated"),
        answer=Pairwise(strength=strength if taken else -strength),
        shown=shown,
        criteria={"style": style},
        submitted_at=datetime.fromtimestamp(at, UTC),
        active_seconds=(2.0 if name == "Lefty" else 20.0) * rng.lognormvariate(0, 0.4),
        is_gold=item.gold is not None,
        guideline_version="1",
    )


def one_vote(store: Store, item: Item, project: str, rater: str, strength: int, **fields) -> None:
    """A judgment of one's choosing."""
    append(store, [
        Judgment(
            id=f"{item.id}-{rater}-{fields.get('supersedes', '')}", project=project, item=item.id,
            item_sha256=fingerprint(item), rater=Rater(id=rater), shown=(0, 1),
            answer=Pairwise(strength=strength), submitted_at=datetime.now(UTC), **fields,
        )
    ])  # fmt: skip


def names_of(ids: dict[str, str], raters: Sequence[str]) -> list[str]:
    named = {id: name for name, id in ids.items()}
    return [named[rater] for rater in raters]
