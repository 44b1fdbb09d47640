"""The dashboards: agreement, raters, cost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Request

from plaudit.feedback.leads.dashboards import AgreementBoard, agreement_board
from plaudit.feedback.leads.dashboards_cost import CostBoard, cost_board
from plaudit.feedback.leads.dashboards_raters import RaterBoard, rater_board
from plaudit.feedback.leads.dashboards_votes import last_seq
from plaudit.feedback.leads.item_routes import project_here
from plaudit.feedback.protection.refusals import refusals
from plaudit.feedback.protection.security import Signed, require
from plaudit.store import Store, people

router = APIRouter(prefix="/api/projects/{project}", tags=["boards"])
Lead = Annotated[Signed, Depends(require("lead"))]
BoardT = TypeVar("BoardT")
KEPT_TIMES = 10


@dataclass(slots=True)
class Kept:
    """The last board of each kind and project.

    Where only votes came in, it is kept for ten times as long as it took to make, so that boards
    take a tenth of the time at most, however many ask and however fast votes come.
    """

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _boards: dict[tuple[str, str], _Made] = field(default_factory=dict)

    def board(self, key: tuple[str, str], stamp: Stamp, make: Callable[[], BoardT]) -> BoardT:
        """The board of that stamp; made once, however many ask for it."""
        with self._lock:
            made = self._boards.get(key)
            if made is None or not made.serves(stamp, time.monotonic()):
                began = time.monotonic()
                made = _Made(stamp, began, make(), time.monotonic() - began)
                self._boards[key] = made
            return made.board


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a board is made from."""

    last_seq: int
    rest: object


@dataclass(frozen=True, slots=True)
class _Made:
    stamp: Stamp
    at: float
    board: Any
    seconds: float

    def serves(self, stamp: Stamp, now: float) -> bool:
        is_fresh = now - self.at < KEPT_TIMES * self.seconds
        is_last = self.board.is_whole and self.stamp.last_seq == stamp.last_seq
        return self.stamp.rest == stamp.rest and (is_fresh or is_last)


@router.get("/agreement", responses=refusals(400, 401, 403, 404, 429))
def agreement(project: str, request: Request, who: Lead) -> AgreementBoard:
    """How well people agree, by question, criterion and stratum, and over time."""
    store: Store = request.app.state.store
    here = project_here(store, project)
    return _kept(request).board(
        ("agreement", project), _stamp(store, project, here), lambda: agreement_board(store, here)
    )


@router.get("/raters", responses=refusals(400, 401, 403, 404, 429))
def raters(project: str, request: Request, who: Lead) -> RaterBoard:
    """Raters side by side, with signs of trouble."""
    store: Store = request.app.state.store
    return _kept(request).board(
        ("raters", project), _stamp(store, project, ()), lambda: rater_board(store, project)
    )


@router.get("/cost", responses=refusals(400, 401, 403, 404, 429))
def cost(project: str, request: Request, who: Lead) -> CostBoard:
    """Votes by day, money, and when it will be done."""
    store: Store = request.app.state.store
    here = project_here(store, project)
    return _kept(request).board(
        ("cost", project), _stamp(store, project, here), lambda: cost_board(store, here)
    )


def _stamp(store: Store, project: str, config: object) -> Stamp:
    return Stamp(last_seq(store, project), (people.members(store, project), config))


def _kept(request: Request) -> Kept:
    state = request.app.state
    if not hasattr(state, "boards"):
        state.boards = Kept()
    return state.boards
