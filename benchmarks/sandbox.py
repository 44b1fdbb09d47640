"""How many short programs a second the sandbox runs, by protection: python benchmarks/sandbox.py"""

from __future__ import annotations

import argparse
import os
import time
from concurrent.futures import ThreadPoolExecutor

from plaudit.sandbox import Limits, Protection, SandboxError
from plaudit.sandbox.running import run_confined

PROGRAM = "assert sum(n for n in range(1000) if n % 3 == 0) == 166833"
PROTECTIONS: tuple[Protection | None, ...] = ("bubblewrap", "landlock", None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", type=int, default=200)
    parser.add_argument("--at-once", type=int, default=2 * (os.cpu_count() or 1))
    options = parser.parse_args()
    print("protection    programs/s")
    for protection in PROTECTIONS:
        try:
            rate = measure(protection, options.programs, options.at_once)
        except (SandboxError, OSError) as error:
            print(f"{protection!s:12}  does not work here: {error}")
            continue
        print(f"{protection!s:12}  {rate:10.1f}")


def measure(protection: Protection | None, programs: int, at_once: int) -> float:
    """Programs a second, with ``at_once`` of them under way."""

    def run_one(_: int) -> bool:
        return run_confined(PROGRAM, "", Limits(), protection).succeeded

    assert run_one(0)
    began = time.monotonic()
    with ThreadPoolExecutor(at_once) as pool:
        assert all(pool.map(run_one, range(programs)))
    return programs / (time.monotonic() - began)


if __name__ == "__main__":
    main()
