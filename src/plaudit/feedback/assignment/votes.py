"""What the votes on an item say together: how far they lie apart, and whether more are needed."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Hashable, Sequence

from plaudit.feedback.projects.project import Adaptive, Project, project_of
from plaudit.feedback.projects.questions import Question
from plaudit.judgments import (
    Answer,
    Item,
    Labelled,
    Pairwise,
    Ranked,
    Rated,
    RedTeamed,
    Stepped,
)
from plaudit.store.item_votes import Wanting


def votes_needed(
    base: int, adaptive: Adaptive | None, answers: Sequence[Answer], kinds: int
) -> int:
    """How many votes the item should get, given those it has.

    The base, and while the answers leave doubt one more at a time, to ``adaptive.max_votes``; what
    was called for in doubt is not called back when the doubt is gone.
    """
    if adaptive is None or len(answers) < base:
        return base
    more = is_in_doubt(adaptive, answers, kinds)
    return max(base, min(len(answers) + more, adaptive.max_votes))


def votes_wanted(project: Project, item: Item, answers: Sequence[Answer]) -> int:
    """``votes_needed`` of a project's item."""
    question = project.question(item.question)
    possible = verdicts_possible(question, len(item.candidates), len(item.steps))
    base = project.votes_wanted(item.stratum)
    return votes_needed(base, project.overlap.adaptive, answers, possible)


def wanting_of(config_json: str) -> Wanting | None:
    """``votes_wanted`` by the items of a project; None where doubt raises nothing, or where the
    project came without a file of its own. It says 0 of a question that the project does not ask.
    """
    if "questions" not in json.loads(config_json):
        return None
    project = project_of(config_json)
    asked = {question.name for question in project.questions}
    if project.overlap.adaptive is None:
        return None
    return lambda item, answers: (
        votes_wanted(project, item, answers) if item.question in asked else 0
    )


def is_in_doubt(adaptive: Adaptive, answers: Sequence[Answer], kinds: int) -> bool:
    """Whether no verdict is likely enough.

    Votes are right with probability a, wrong ones spread evenly over the other verdicts, and all
    ``kinds`` verdicts are as likely beforehand:
    P(k | votes) ~ a^n_k ((1 - a) / (kinds - 1))^(n - n_k).
    """
    votes = Counter(verdict for answer in answers if (verdict := verdict_of(answer)) is not None)
    if not votes:
        return False
    step = math.log(adaptive.rater_accuracy) - math.log((1 - adaptive.rater_accuracy) / (kinds - 1))
    best = max(votes.values())
    others = [*votes.values(), *[0] * max(0, kinds - len(votes))]
    likelihood = 1 / math.fsum(math.exp(step * (count - best)) for count in others)
    return likelihood < adaptive.posterior


def verdict_of(answer: Answer) -> Hashable | None:
    """What an answer comes down to; None where answers cannot be compared (demonstrations)."""
    match answer:
        case Pairwise(strength=strength):
            return (strength > 0) - (strength < 0)
        case Ranked(ranks=ranks):
            return tuple(rank == min(ranks) for rank in ranks)
        case Rated(values=(value,)):
            return value
        case Rated(values=values):
            known = [value for value in values if value is not None]
            return tuple(value == max(known) for value in values) if known else None
        case Labelled(label=label):
            return label
        case Stepped(labels=labels):
            return labels.index("wrong") if "wrong" in labels else len(labels)
        case RedTeamed(severities=severities):
            return tuple(severity is not None and severity >= 2 for severity in severities)
        case _:
            return None


def verdicts_possible(question: Question, candidates: int, steps: int) -> int:
    """How many verdicts there are to choose from, at least two."""
    match question.kind:
        case "pairwise":
            return 3 if question.tie or question.both_bad else 2
        case "label":
            return len(question.labels)
        case "steps":
            return steps + 1
        case "red_team":
            return 2
        case "rating" if candidates == 1:
            return question.scale[1] - question.scale[0] + 1
        case _:
            return max(2, candidates)
