"""Wrong tokens, counted by address and by how the token begins, in bounded memory."""

from __future__ import annotations

import ipaddress
import threading
from collections import OrderedDict, deque
from dataclasses import dataclass, field

PREFIX_CHARACTERS = 16
"""``plaudit_`` and eight more."""


@dataclass(slots=True)
class Attempts:
    """At most ``most`` wrong tokens in ``window_seconds`` from one address or with one beginning.

    Guessing 256 bits is hopeless at any rate; this keeps who tries from costing anything, and makes
    it show.
    """

    most: int = 20
    window_seconds: float = 300.0
    keys: int = 10_000
    """Addresses and beginnings remembered; the one longest unused goes first."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _failed: OrderedDict[str, deque[float]] = field(default_factory=OrderedDict)

    def wait_seconds(self, address: str, token: str, now: float) -> float:
        """How long until another try is let in; 0 for now."""
        with self._lock:
            return max(self._wait(key, now) for key in _keys(address, token))

    def failed(self, address: str, token: str, now: float) -> float:
        """Count a wrong token; how long there is to wait before this one would have been let in."""
        with self._lock:
            wait = max(self._wait(key, now) for key in _keys(address, token))
            for key in _keys(address, token):
                times = self._failed.setdefault(key, deque(maxlen=self.most))
                times.append(now)
                self._failed.move_to_end(key)
            while len(self._failed) > self.keys:
                self._failed.popitem(last=False)
            return wait

    def _wait(self, key: str, now: float) -> float:
        times = self._failed.get(key)
        if times is None or len(times) < self.most:
            return 0.0
        return max(0.0, times[0] + self.window_seconds - now)


def _keys(address: str, token: str) -> tuple[str, str]:
    return f"address {_network(address)}", f"token {token[:PREFIX_CHARACTERS]}"


def _network(address: str) -> str:
    """An IPv6 address stands for its /64: whoever has one has them all."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if parsed.version == 4:
        return str(parsed)
    return str(ipaddress.ip_network((int(parsed), 64), strict=False))
