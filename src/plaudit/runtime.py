"""What a process and its libraries are told before a stage begins."""

from __future__ import annotations

import logging
import os
import sys

_HUB_BARS = "HF_HUB_DISABLE_PROGRESS_BARS"


def cores() -> int:
    """Threads that may be used: ``OMP_NUM_THREADS`` where it is set, else one for every core."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    return int(told) if told.isdecimal() and int(told) else os.cpu_count() or 1


def quiet(step: str = "") -> None:
    """Our notices stand plainly, libraries' only where they warn; bars are for terminals.

    Args:
        step: whose notices they are, where several steps speak at once.
    """
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    if not sys.stderr.isatty():
        os.environ.setdefault(_HUB_BARS, "1")
        os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    said = f"{step}: %(message)s" if step else "%(message)s"
    logging.basicConfig(level=logging.WARNING, format=said)
    logging.getLogger("plaudit").setLevel(logging.INFO)


def prepare_process() -> None:
    """What the heavy libraries are told before a stage begins."""
    import torch
    from huggingface_hub.utils import enable_progress_bars
    from transformers.utils import logging as transformers_logging

    from plaudit.models import keep_freed_memory

    keep_freed_memory()
    torch.set_num_threads(cores())
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    if _HUB_BARS not in os.environ:
        enable_progress_bars()  # of downloads, which can take long
