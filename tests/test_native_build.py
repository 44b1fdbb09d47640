"""The kernels' library is compiled once and kept; what is kept damaged is compiled again."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest

from plaudit.native import build

LIBRARY = b"\x7fELF, as a compiler would write it"


@pytest.fixture
def compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands of a compiler that is stood in for; each call makes the same library."""
    commands: list[list[str]] = []

    def compile_to(compiler: list[str], sources: list[Path], built: Path) -> None:
        commands.append(compiler)
        assert sources and all(source.suffix == ".cpp" for source in sources)
        built.write_bytes(LIBRARY)

    monkeypatch.setattr(build, "_compile", compile_to)
    monkeypatch.setattr(build, "cache_place", lambda name: tmp_path / "kept" / name)
    return commands


@pytest.mark.parametrize("left", [b"", LIBRARY[:9], LIBRARY[::-1]])
def test_a_damaged_library_is_compiled_again(compiled: list[list[str]], left: bytes) -> None:
    path = build._built(["g++"])
    assert build._built(["g++"]) == path and len(compiled) == 1
    path.write_bytes(left)
    assert build._built(["g++"]) == path and len(compiled) == 2
    assert path.read_bytes() == LIBRARY
    build._sum_file(path).unlink()
    build._built(["g++"])
    assert len(compiled) == 3 and len(list(path.parent.iterdir())) == 2, "nothing else is left"


def test_another_compiler_or_option_has_a_library_of_its_own(compiled: list[list[str]]) -> None:
    paths = {build._built(c) for c in (["g++"], ["clang++"], ["g++", "-m64"])}
    assert len(paths) == len(compiled) == 3


def test_the_compiler_may_have_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "sh -m64")
    assert build._compiler() == [shutil.which("sh"), "-m64"]


def test_without_a_compiler_pytorch_is_used_and_it_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler -O3")
    with caplog.at_level(logging.WARNING):
        assert build.library.__wrapped__() is None
    assert "no C++ compiler: no-such-compiler is not found" in caplog.text
    caplog.clear()
    monkeypatch.setenv(build.SWITCH, "0")
    assert build.library.__wrapped__() is None and not caplog.text
