"""The web application: people judge what models wrote, leads see how well they agree."""

from __future__ import annotations

from fastapi import FastAPI

import plaudit
from plaudit.feedback import session_routes, site
from plaudit.feedback.protection import Protection, protect


def create_app(store: object, settings: Protection | None = None) -> FastAPI:
    """The application over one store: pages, sessions, the raters' API and the leads'.

    Handlers find ``app.state.store`` and ``app.state.writer``.
    """
    app = FastAPI(
        title="Plaudit", version=plaudit.__version__, openapi_url="/api/openapi.json",
        docs_url=None, redoc_url=None,
    )  # fmt: skip
    app.state.store = store
    for router in (site.router, session_routes.router):
        app.include_router(router)
    protect(app, settings or Protection())
    return app
