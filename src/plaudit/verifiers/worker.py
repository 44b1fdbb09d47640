"""A process that verifies: ``python -m plaudit.verifiers.worker FILE_DESCRIPTOR``.

It is sent a verifier with its options, then one response after the other, and answers each with a
value or the reason why there is none.
"""

from __future__ import annotations

import json
import logging
import math
import resource
import sys
from multiprocessing.connection import Connection
from numbers import Real
from typing import Any

from plaudit.records import Invalid
from plaudit.verifiers.registry import Columns, Verifier, bind_verifier

MEMORY_BYTES = 8 << 30


def main(file: int) -> None:
    logging.disable(logging.WARNING)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    with Connection(file) as connection:
        name, options = json.loads(connection.recv_bytes())
        try:
            verify = bind_verifier(name, options)
        except ValueError as error:
            _answer(connection, {"invalid": str(error)})
            return
        _answer(connection, {"begun": name})
        while True:
            try:
                response, columns = json.loads(connection.recv_bytes())
            except EOFError:
                return
            _answer(connection, verdict(verify, response, columns))


def verdict(verify: Verifier, response: str, columns: Columns) -> dict[str, Any]:
    """The value, or why there is none; whatever a verifier raises is a reason."""
    try:
        found = verify(response, columns)
    except (Exception, RecursionError, MemoryError) as error:
        reason = " ".join(str(error).split())[:200]
        plain = isinstance(error, ValueError) and reason
        return {"invalid": reason if plain else f"{type(error).__name__}: {reason}"}
    if isinstance(found, Invalid):
        return {"invalid": found.reason}
    if not isinstance(found, Real) or not math.isfinite(float(found)):
        return {"invalid": f"the verifier returned {found!r}"[:200]}
    return {"value": float(found)}


def _answer(connection: Connection, value: dict[str, Any]) -> None:
    connection.send_bytes(json.dumps(value).encode())


if __name__ == "__main__":
    main(int(sys.argv[1]))
