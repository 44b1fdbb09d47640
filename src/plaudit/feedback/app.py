"""The web application: people judge what models wrote, leads see how well they agree."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

import plaudit
from plaudit.feedback import site
from plaudit.feedback.headers import SecurityHeaders
from plaudit.feedback.settings import Settings


def create_app(store: object, settings: Settings | None = None) -> FastAPI:
    """The application over one store: pages, the raters' API and the leads'.

    Handlers find ``app.state.store``, ``app.state.writer`` and ``app.state.settings``.
    """
    app = FastAPI(
        title="Plaudit", version=plaudit.__version__, openapi_url="/api/openapi.json",
        docs_url=None, redoc_url=None, lifespan=_lifespan,
    )  # fmt: skip
    app.state.store = store
    app.state.settings = settings or Settings()
    app.include_router(site.router)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_middleware(SecurityHeaders)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield


async def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def _malformed(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    faults = [f"{_place(fault['loc'])}: {fault['msg']}" for fault in error.errors()]
    return JSONResponse({"error": "; ".join(faults)}, 422)


def _place(location: tuple[int | str, ...]) -> str:
    """``answer.strength`` of a body, ``limit`` of a query."""
    return ".".join(str(part) for part in location[1:]) or str(location[0])
