"""Pages and what they load: templates, style sheets and scripts, read once at start.

Every page is the same for everybody; what is somebody's own comes from the JSON API. So a page is
rendered once, and no request runs a template.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fastapi import APIRouter, HTTPException, Request, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

FOLDER = Path(__file__).parent / "pages"
_SERVED = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, kw_only=True)
class Asset:
    """A file as it goes out."""

    body: bytes
    media_type: str
    etag: str


@cache
def assets() -> dict[str, Asset]:
    """Style sheets and scripts by their path below ``pages``."""
    files = (path for path in sorted(FOLDER.rglob("*")) if path.suffix in _SERVED)
    return {path.relative_to(FOLDER).as_posix(): _asset(path) for path in files}


@cache
def page(template: str) -> Asset:
    """A rendered page: ``page("rate.html")``."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined
    )
    body = environment.get_template(template).render().encode()
    return Asset(body=body, media_type="text/html", etag=_etag(body))


def send(asset: Asset, request: Request) -> Response:
    """The asset, or 304 where the browser has it already."""
    headers = {"ETag": asset.etag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == asset.etag:
        return Response(status_code=304, headers=headers)
    return Response(asset.body, media_type=asset.media_type, headers=headers)


@router.get("/")
async def home(request: Request) -> Response:
    return send(page("home.html"), request)


@router.get("/sign-in")
async def sign_in(request: Request) -> Response:
    return send(page("sign_in.html"), request)


@router.get("/rate/{project}")
async def rate(project: str, request: Request) -> Response:
    return send(page("rate.html"), request)


@router.get("/static/{path:path}")
async def static(path: str, request: Request) -> Response:
    found = assets().get(path)
    if found is None:
        raise HTTPException(404, f"{path}: no such file")
    return send(found, request)


def _asset(path: Path) -> Asset:
    body = path.read_bytes()
    return Asset(body=body, media_type=_SERVED[path.suffix], etag=_etag(body))


def _etag(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()[:20]}"'
