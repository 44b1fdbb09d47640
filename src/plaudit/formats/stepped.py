"""Responses in steps, beside TRL's stepwise type (``trl.read_stepwise``).

- soft labels: ``{"prompt", "completions": [...], "probabilities": [0.75, ...]}``
- BIG-Bench Mistake (Tyen et al. 2023): ``{"input", "steps": [...], "mistake_index": 3 or null}``,
  where all steps from the first mistake on are wrong
"""

from __future__ import annotations

import math

from plaudit.formats.files import Row
from plaudit.formats.messages import shown
from plaudit.formats.pairs import make_prompt, other_columns
from plaudit.formats.trl import read_stepwise
from plaudit.records import SteppedResponse

SOFT = '{"prompt": "...", "completions": ["...", ...], "probabilities": [0.75, ...]}'
MISTAKE = '{"input": "...", "steps": ["...", ...], "mistake_index": 3 or null}'


def read_soft_steps(row: Row) -> SteppedResponse:
    """A response in steps, each with the probability that it is right so far.

    Raises:
        ValueError: the steps are not texts, or not each has a probability.
    """
    found = row.value["probabilities"]
    if not isinstance(found, list) or not all(map(_is_probability, found)):
        row.fail(f"probabilities is {shown(found)}", SOFT)
    others = {key: value for key, value in row.value.items() if key != "probabilities"}
    labels = [probability > 0.5 for probability in found]
    hard = read_stepwise(Row(where=row.where, value={**others, "labels": labels}))
    return hard.model_copy(update={"probabilities": tuple(map(float, found))})


def read_mistake(row: Row) -> SteppedResponse:
    """A trace with the place of its first mistake.

    Raises:
        ValueError: the steps are not texts, or the mistake is none of them.
    """
    asked, steps, mistake = (row.value.get(key) for key in ("input", "steps", "mistake_index"))
    if not isinstance(asked, str) or not asked:
        row.fail(f"input is {shown(asked)}", MISTAKE)
    if not isinstance(steps, list) or not steps or not all(isinstance(s, str) for s in steps):
        row.fail(f"steps is {shown(steps)}", MISTAKE)
    first = len(steps) if mistake is None else mistake
    if isinstance(first, bool) or not isinstance(first, int) or not 0 <= first <= len(steps):
        row.fail(f"mistake_index is {shown(mistake)} of {len(steps)} steps", MISTAKE)
    prompt = make_prompt(row, asked, other_columns(row, "input", "steps", "mistake_index"))
    labels = tuple(number < first for number in range(len(steps)))
    return SteppedResponse(prompt=prompt, steps=tuple(steps), labels=labels)


def _is_probability(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) and 0 <= value <= 1
