"""What ships with Plaudit, by names like a hub's: the model ``plaudit/nano``, the demo's data."""

import difflib
from pathlib import Path

PREFIX = "plaudit/"


def shipped(name: str) -> Path | None:
    """Where a shipped file or directory lies, or None when ``name`` is not ``plaudit/...``.

    Raises:
        ValueError: the name begins with ``plaudit/`` but nothing of that name ships.
    """
    if not name.startswith(PREFIX):
        return None
    here = Path(__file__).parent
    inside = [p for p in here.rglob("*") if p.suffix not in (".py", ".pyc")]
    names = {PREFIX + str(p.relative_to(here)): p for p in inside if p.name != "__pycache__"}
    if found := names.get(name.rstrip("/")):
        return found
    near = difflib.get_close_matches(name, names, 1, 0.5)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(names))}"
    raise ValueError(f"{name}: not shipped with Plaudit; {hint}")
