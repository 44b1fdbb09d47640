"""The arithmetic of the chain: each record's hash is over the one before it.

``body_sha256`` = SHA-256 of salt and body; ``sha256`` = SHA-256 of the JSON array
``[seq, id, project, recorded_at, body_sha256, previous_sha256]``. A body can be erased together
with its salt: the chain goes on holding, and without the salt nobody can try out what it said.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

NOTHING_BEFORE = "0" * 64


@dataclass(frozen=True)
class Head:
    """The last record of the chain."""

    seq: int = 0
    sha256: str = NOTHING_BEFORE


def hash_body(salt: str, body: str) -> str:
    return hashlib.sha256((salt + body).encode()).hexdigest()


def hash_link(
    seq: int, id: str, project: str, recorded_at: float, body_sha256: str, previous_sha256: str
) -> str:
    sealed = [seq, id, project, recorded_at, body_sha256, previous_sha256]
    written = json.dumps(sealed, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(written.encode()).hexdigest()
