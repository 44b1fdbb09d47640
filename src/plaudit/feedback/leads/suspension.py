"""Suspending by a project's own rule: looked at while raters work, and never in their way."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from plaudit.feedback.leads.dashboards import PATIENCE_SECONDS
from plaudit.feedback.projects.project import project_of
from plaudit.feedback.projects.suspension_rule import SuspensionRule
from plaudit.statistics.habits import gold_below
from plaudit.store import Store, catch_up, events, get_project, people, rater_tallies

LOG = logging.getLogger("plaudit.feedback")
BY_RULE = "rule"
"""Who did it, in the events."""


@dataclass(slots=True)
class Watch:
    """Looks at a project's raters now and then; called with every request of theirs."""

    every_seconds: float = 30.0
    _looked: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def look(self, store: Store, project: str, now: float) -> None:
        """Apply the project's rule, if it has one and was not looked at just now, on the side."""
        with self._lock:
            if now - self._looked.get(project, 0.0) < self.every_seconds:
                return
            self._looked[project] = now
        stored = get_project(store, project)
        rule = project_of(stored.config).suspension if stored else None
        if rule is not None:
            threading.Thread(target=_apply, args=(store, project, rule), daemon=True).start()


def suspend_doubtful(store: Store, project: str, rule: SuspensionRule, now: float) -> list[str]:
    """Suspend who the rule says; returns their ids.

    ``P(accuracy < gold_accuracy | right, wrong)`` under Beta(1 + right, 1 + wrong) must be above
    ``certainty``. Leads and adjudicators are left alone, and so is who was resumed by a lead.
    """
    resumed = {event.detail.get("rater") for event in events(store, project, "resumed")}
    raters = {m.rater: m for m in people.members(store, project) if m.role == "rater"}
    doubtful = []
    for rater, reason in _doubtful(store, project, rule):
        member = raters.get(rater)
        if member is not None and member.suspended_at is None and rater not in resumed:
            people.suspend(store, project, rater, now, BY_RULE, reason)
            doubtful.append(rater)
    return doubtful


def _doubtful(store: Store, project: str, rule: SuspensionRule) -> Iterator[tuple[str, str]]:
    right: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    catch_up(store, PATIENCE_SECONDS)
    for tally in rater_tallies(store, project):
        right[tally.rater] += tally.counts.get("gold_right", 0)
        asked[tally.rater] += tally.counts.get("gold_asked", 0)
    for rater, of in asked.items():
        below = float(gold_below(right[rater], of - right[rater], rule.gold_accuracy))
        if of >= rule.fewest and below > rule.certainty:
            yield (
                rater,
                (
                    f"{right[rater]} of {of} gold items right; accuracy is below "
                    f"{rule.gold_accuracy:g} with probability {below:.3f}"
                ),
            )


def _apply(store: Store, project: str, rule: SuspensionRule) -> None:
    try:
        suspend_doubtful(store, project, rule, time.time())
    except Exception:
        LOG.exception("project %s: the rule of suspension could not be applied", project)
