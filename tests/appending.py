"""A process that appends until it is killed: ``python -m tests.appending URL NAME``.

It says the id of each judgment it was told is recorded, as soon as it was told.
"""

from __future__ import annotations

import os
import sys
import threading
from itertools import count

from plaudit.store import Writer, open_store
from tests.voting import a_judgment

_THREADS = 8


def _send(writer: Writer, name: str) -> None:
    for number in count():
        id = f"{name}-{number}"
        writer.submit(a_judgment(id, item=f"i{number}", rater=name)).result()
        os.write(1, f"{id}\n".encode())  # whole lines: one call each, with no buffer between


def main() -> None:
    url, name = sys.argv[1:]
    writer = Writer(open_store(url))
    for thread in range(_THREADS):
        threading.Thread(target=_send, args=(writer, f"{name}-{thread}")).start()


if __name__ == "__main__":
    main()
