"""A sign of life from calls of the sampler that take long."""

from __future__ import annotations

import logging
import time

SECONDS_BETWEEN_SIGNS = 20.0

log = logging.getLogger(__name__)


class Pace:
    """Says now and then how many responses of one call are done, and about how long the rest takes.

    Short calls say nothing: steps of a run have lines of their own.
    """

    def __init__(self, responses: int) -> None:
        self._responses = responses
        self._began = self._last_sign = time.monotonic()

    def tell(self, done: int) -> None:
        now = time.monotonic()
        if now - self._last_sign < SECONDS_BETWEEN_SIGNS or done == self._responses:
            return
        self._last_sign = now
        seconds = (self._responses - done) * (now - self._began) / done if done else None
        left = "" if seconds is None else f", about {seconds:.0f} s left"
        log.info("sampling: %d of %d responses%s", done, self._responses, left)
