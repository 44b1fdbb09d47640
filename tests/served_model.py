"""A served model, the border where a fake stands in: it answers what it is told to answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """An OpenAI-compatible server: its replies in turn, and what it was asked."""

    url: str
    replies: list[Any] = field(default_factory=list)
    """Texts, or whole replies."""
    asked: list[dict[str, Any]] = field(default_factory=list)


@contextmanager
def served_model() -> Iterator[ServedModel]:
    """It listens on a port of its own until the end."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    found = ServedModel(url=f"http://127.0.0.1:{server.server_port}/v1")
    server.RequestHandlerClass = _handler(found)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


def _handler(model: ServedModel) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            model.asked.append(body | {"authorization": self.headers.get("Authorization")})
            reply = model.replies[len(model.asked) - 1]
            whole = {"model": "zephyr-secret-7b", "choices": [{"message": {"content": reply}}]}
            content = json.dumps(reply if isinstance(reply, dict) else whole).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler
