"""A line to the collection server that is light on the CPU: asyncio streams and httptools.

The load shares two cores with the server it measures; httpx would take more of them than the
server. Bench only: one connection, one request at a time, no redirects, no compression.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import httptools

from plaudit.feedback.simulation import Reply, Unreachable

CHUNK_BYTES = 65536
PATIENCE_SECONDS = 30.0


class _Answer:
    """What httptools calls back with."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.is_whole = False

    def on_body(self, part: bytes) -> None:
        self.parts.append(part)

    def on_message_complete(self) -> None:
        self.is_whole = True


class RawLine:
    """One rater's keep-alive connection; it is made anew where it broke."""

    def __init__(self, port: int, token: str) -> None:
        self._port, self._token = port, token
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, method: str, path: str, body: Mapping[str, Any] | None) -> Reply:
        """As ``Line.send``."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await self._send(method, path, body)
        except (OSError, EOFError, TimeoutError, httptools.HttpParserError) as error:
            await self.close()
            raise Unreachable(f"{method} {path}: {error!r}") from error

    async def close(self) -> None:
        """As ``Line.close``."""
        if self._streams is not None:
            self._streams[1].close()
        self._streams = None

    async def _send(self, method: str, path: str, body: Mapping[str, Any] | None) -> Reply:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(self._request(method, path, body))
        answer = _Answer()
        parser = httptools.HttpResponseParser(answer)
        while not answer.is_whole:
            chunk = await reader.read(CHUNK_BYTES)
            if not chunk:
                raise EOFError("the server hung up")
            parser.feed_data(chunk)
        if not parser.should_keep_alive():
            await self.close()
        text = b"".join(answer.parts)
        return Reply(parser.get_status_code(), json.loads(text) if text else None)

    def _request(self, method: str, path: str, body: Mapping[str, Any] | None) -> bytes:
        text = b"" if body is None else json.dumps(body).encode()
        lines = [
            f"{method} {path} HTTP/1.1",
            f"Host: 127.0.0.1:{self._port}",
            f"Authorization: Bearer {self._token}",
            f"Content-Length: {len(text)}",
        ]
        if text:
            lines.append("Content-Type: application/json")
        return "\r\n".join([*lines, "", ""]).encode() + text
