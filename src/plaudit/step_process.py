"""One step of a recipe in a process of its own: ``python -m plaudit.step_process``.

Standard input holds one line of JSON (the stage's module, its options, where to write) and stays
open as long as the parent lives. Progress goes to standard error. What went wrong, where
it can be explained, is the last line of standard output: the message and the exit code, as JSON.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
from pathlib import Path

from plaudit.config import make_config
from plaudit.mistakes import explain
from plaudit.runtime import prepare_process, quiet

INTERRUPTED = 130


def main() -> int:
    """Run the step that standard input tells of; gives the exit code."""
    order = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    try:
        _run(order)
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        if not (explanation := explain(error)):
            raise
        print(json.dumps(explanation))
        return explanation[1]
    return 0


def _run(order: dict) -> None:
    quiet(order["where"])
    prepare_process()
    module = importlib.import_module(order["module"])
    config = make_config(module.CONFIG, order["config"], order["where"])
    module.run(config, Path(order["output"]))


def _end_with_the_parent() -> None:
    """The pipe ends when the parent does, however it ends; drafts are whole at any moment."""
    os.read(sys.stdin.fileno(), 1)  # unbuffered: a buffer's lock would stand in the way of an end
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main())
