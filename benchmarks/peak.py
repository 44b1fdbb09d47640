"""The fastest matrix multiplication of this machine, now: python benchmarks/peak.py

Prints one line of JSON: TFLOP/s by precision, the best of several sizes and tries.
"""

from __future__ import annotations

import json
import time

import torch

SIZES = (1024, 2048, 3072)
SECONDS = 1.0
"""Of trying each size."""


def main() -> None:
    dtypes = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    print(json.dumps({name: tflop_per_s(dtype) for name, dtype in dtypes.items()}))


def tflop_per_s(dtype: torch.dtype) -> float:
    return max(_best(size, dtype) for size in SIZES)


@torch.inference_mode()
def _best(size: int, dtype: torch.dtype) -> float:
    a, b = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
    out = a @ b
    fastest, until = float("inf"), time.perf_counter() + SECONDS
    while fastest == float("inf") or time.perf_counter() < until:
        began = time.perf_counter()
        torch.mm(a, b, out=out)
        fastest = min(fastest, time.perf_counter() - began)
    return 2 * size**3 / fastest / 1e12


if __name__ == "__main__":
    main()
