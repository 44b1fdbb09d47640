"""The dashboards: agreement, raters, cost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Request

from plaudit.feedback.dashboards import AgreementBoard, agreement_board
from plaudit.feedback.dashboards_cost import CostBoard, cost_board
from plaudit.feedback.dashboards_raters import RaterBoard, rater_board
from plaudit.feedback.dashboards_votes import last_seq
from plaudit.feedback.lead_item_routes import project_here
from plaudit.feedback.refusals import refusals
from plaudit.feedback.security import Signed, require
from plaudit.store import Store, people

router = APIRouter(prefix="/api/projects/{project}", tags=["boards"])
Lead = Annotated[Signed, Depends(require("lead"))]
BoardT = TypeVar("BoardT")


@dataclass(slots=True)
class Kept:
    """The last board of each kind and project, until something it is made from changes."""

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _boards: dict[tuple[str, str], tuple[Hashable, Any]] = field(default_factory=dict)

    def board(self, key: tuple[str, str], stamp: Hashable, make: Callable[[], BoardT]) -> BoardT:
        """The board of that stamp; made once, however many ask for it."""
        with self._lock:
            if key not in self._boards or self._boards[key][0] != stamp:
                self._boards[key] = (stamp, make())
            return self._boards[key][1]


@router.get("/agreement", responses=refusals(400, 401, 403, 404, 429))
def agreement(project: str, request: Request, who: Lead) -> AgreementBoard:
    """How well people agree, by question, criterion and stratum, and over time."""
    store: Store = request.app.state.store
    here = project_here(store, project)
    stamp = (_stamp(store, project), here)
    return _kept(request).board(("agreement", project), stamp, lambda: agreement_board(store, here))


@router.get("/raters", responses=refusals(400, 401, 403, 404, 429))
def raters(project: str, request: Request, who: Lead) -> RaterBoard:
    """Raters side by side, with signs of trouble."""
    store: Store = request.app.state.store
    stamp = _stamp(store, project)
    return _kept(request).board(("raters", project), stamp, lambda: rater_board(store, project))


@router.get("/cost", responses=refusals(400, 401, 403, 404, 429))
def cost(project: str, request: Request, who: Lead) -> CostBoard:
    """Votes by day, money, and when it will be done."""
    store: Store = request.app.state.store
    return cost_board(store, project_here(store, project))


def _stamp(store: Store, project: str) -> Hashable:
    return last_seq(store, project), people.members(store, project)


def _kept(request: Request) -> Kept:
    state = request.app.state
    if not hasattr(state, "boards"):
        state.boards = Kept()
    return state.boards
