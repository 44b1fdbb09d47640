"""Where models compute: said, never guessed."""

from __future__ import annotations

import re
from typing import Annotated

import torch
from pydantic import AfterValidator

_NAMES = re.compile(r"cpu|cuda(:(?P<index>\d+))?")


def is_device_name(name: object) -> bool:
    """Whether some machine may have a device of that name."""
    return isinstance(name, str) and _NAMES.fullmatch(name) is not None


def check_device(name: str) -> str:
    """The name, if there is such a device here.

    Raises:
        ValueError: it is none of cpu, cuda and cuda:N, or torch sees no such GPU.
    """
    found = _NAMES.fullmatch(name)
    if found is None:
        raise ValueError(f"{name}: no device; expected cpu, cuda or cuda:N")
    if name != "cpu" and int(found["index"] or 0) >= torch.cuda.device_count():
        raise ValueError(f"{name}: torch {torch.__version__} sees no such GPU here; use cpu")
    return name


Device = Annotated[str, AfterValidator(check_device)]
