"""What a rater is shown of a project and of a task: picked field by field, never left out.

A model's name, a source, a stratum, a priority and whether the answer is known stay on the server
because nothing here names them.
"""

from __future__ import annotations

import json
from typing import Any

from plaudit.feedback.assignment.giving import Assignment
from plaudit.feedback.projects.project import Project
from plaudit.feedback.projects.questions import Question
from plaudit.feedback.rating.rendering import html_of, markdown, plain_of
from plaudit.records import Text
from plaudit.store import Guideline

SESSION_GOAL = 50
"""Judgments of a day, until the rater chooses another number."""
_TITLES = {
    "pairwise": "Which response is better?",
    "ranking": "Put the responses in order, the best first",
    "rating": "How good is each response?",
    "label": "Which label fits?",
    "demonstration": "Write the response you would want",
    "steps": "Is each step right?",
    "red_team": "Did the attack get through?",
}
_ASKED = {
    "name", "kind", "hint", "strengths", "tie", "both_bad", "scale", "labels",
    "stop_at_first_wrong", "tactics", "flags", "rationale", "confidence",
}  # fmt: skip


def shown_project(project: Project, guideline: Guideline | None) -> dict[str, Any]:
    """What is asked, and how to judge."""
    return {
        "id": project.id,
        "title": project.title,
        "guideline": {
            "version": guideline.version if guideline else "",
            "html": markdown(guideline.text) if guideline else "",
        },
        "questions": [_question(question) for question in project.questions],
        "skip_reasons": list(project.skip_reasons),
        "content_warning": project.content_warning,
        # Who is warned of what may distress sees it on asking for it.
        "blur": bool(project.content_warning),
        "arena": project.arena is not None,
        "session_goal": SESSION_GOAL,
    }


def shown_assignment(assignment: Assignment) -> dict[str, Any]:
    """One task, its candidates in the order of this rater."""
    item = assignment.item
    return {
        "id": assignment.id,
        "question": item.question,
        "prompt": _text(item.prompt),
        "candidates": [_text(item.candidates[place].content) for place in assignment.shown],
        "steps": [_text(step) for step in item.steps],
        "opened_at": assignment.opened_at,
        "leased_until": assignment.leased_until,
        "draft": None if assignment.draft is None else json.loads(assignment.draft),
    }


def _question(question: Question) -> dict[str, Any]:
    criteria = [
        criterion.model_dump(include={"name", "hint", "scale", "required"})
        | {"title": criterion.title or criterion.name.replace("_", " ").capitalize()}
        for criterion in question.criteria
    ]
    title = question.title or _TITLES[question.kind]
    return question.model_dump(include=_ASKED) | {"title": title, "criteria": criteria}


def _text(text: Text) -> dict[str, str]:
    return {"text": plain_of(text), "html": html_of(text)}
