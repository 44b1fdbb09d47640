"""A stage that gathers in rounds, cut off in its second and taken up again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from plaudit.artifacts import Artifact, read_artifact
from plaudit.stages.sample_gathering import Gathering
from tests.small import run_stage


def cut_and_resumed(
    place: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> tuple[Artifact, int]:
    """The artifact of a ``sample`` cut in its second round, and how many rounds both runs began."""
    rounds = 0
    gather = Gathering.gather

    def cut(self: Gathering, prompts: Any) -> Any:
        nonlocal rounds
        rounds += 1
        if rounds == 2:
            raise KeyboardInterrupt
        return gather(self, prompts)

    monkeypatch.setattr(Gathering, "gather", cut)
    with pytest.raises(KeyboardInterrupt):
        run_stage("sample", place, **options)
    assert read_artifact(place) is None
    return run_stage("sample", place, **options), rounds
