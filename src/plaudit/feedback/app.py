"""The web application: people judge what models wrote, leads see how well they agree."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

import plaudit
from plaudit.feedback import site
from plaudit.feedback.leads import routes as lead_routes
from plaudit.feedback.protection import session_routes
from plaudit.feedback.protection.guard import Protection, protect
from plaudit.feedback.rating import routes as rating_routes
from plaudit.store import Store, Writer

_TELEMETRY: Any = {"tracing": False, "metrics": False, "logs": False}
"""It reports to nobody, and need not look on every request whether it should."""


def create_app(store: Store, settings: Protection | None = None) -> FastAPI:
    """The application over one store: pages, sessions, the raters' API and the leads'.

    Handlers find ``app.state.store`` and ``app.state.writer``, which records until the application
    is shut down.
    """
    app = FastAPI(
        title="Plaudit", version=plaudit.__version__, openapi_url="/api/openapi.json",
        docs_url=None, redoc_url=None, lifespan=_until_shutdown, telemetry=_TELEMETRY,
    )  # fmt: skip
    app.state.store = store
    app.state.writer = Writer(store)
    # Searched in this order, and raters ask most.
    for routes in (rating_routes, session_routes, lead_routes, site):
        app.include_router(routes.router)
    protect(app, settings or Protection())
    return app


@asynccontextmanager
async def _until_shutdown(app: FastAPI) -> AsyncIterator[None]:
    if app.state.writer.is_closed:  # it was shut down before, and is started again
        app.state.writer = Writer(app.state.store)
    yield
    app.state.writer.close()
