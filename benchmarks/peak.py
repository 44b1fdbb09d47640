"""The fastest matrix multiplication of this machine, now.

    python benchmarks/peak.py [cpu|cuda [float32|bfloat16 ...]]

Prints one line of JSON: TFLOP/s by precision, the best of several sizes and tries. On a processor
without products of bfloat16 its peak is that of float32, by which Plaudit computes it there.
"""

from __future__ import annotations

import json
import sys
import time

import torch

SIZES = {"cpu": (1024, 2048, 3072), "cuda": (4096, 8192)}
SECONDS = 1.0
"""Of trying each size."""
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def main() -> None:
    device, *names = sys.argv[1:] or ["cpu"]
    print(json.dumps({name: tflop_per_s(DTYPES[name], device) for name in names or DTYPES}))


def tflop_per_s(dtype: torch.dtype, device: str = "cpu") -> float:
    if device == "cpu" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        dtype = torch.float32
    return max(_best(size, dtype, device) for size in SIZES[device])


@torch.inference_mode()
def _best(size: int, dtype: torch.dtype, device: str) -> float:
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    out = a @ b
    finish = torch.cuda.synchronize if device == "cuda" else lambda: None
    finish()
    fastest, until = float("inf"), time.perf_counter() + SECONDS
    while fastest == float("inf") or time.perf_counter() < until:
        began = time.perf_counter()
        torch.mm(a, b, out=out)
        finish()
        fastest = min(fastest, time.perf_counter() - began)
    return 2 * size**3 / fastest / 1e12


if __name__ == "__main__":
    main()
