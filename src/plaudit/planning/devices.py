"""What a plan is made for: the machine at hand, or one of the GPUs whose makers publish figures."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from plaudit.config import nearest
from plaudit.models.loading import Precision
from plaudit.planning.coefficients import CUDA_BYTES, LIBRARIES_BYTES, USABLE

Sharding = Literal["none", "fsdp"]
HERE = "cpu"


@dataclass(frozen=True, kw_only=True, slots=True)
class Device:
    """One processor with its memory. Figures of GPUs are their makers'."""

    name: str
    memory_bytes: float
    overhead_bytes: float = CUDA_BYTES
    """Of the process, before there is a model."""
    flops_per_s: Mapping[Precision, float]
    """Dense matrix peak; empty where it is measured."""
    bytes_per_s: float = 0.0
    """Memory bandwidth."""
    link_bytes_per_s: float = 0.0
    """To other devices of the same machine, one way."""

    @property
    def usable_bytes(self) -> float:
        return USABLE * self.memory_bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """Devices of one kind, and what is divided among them."""

    device: Device
    gpus: int = 1
    sharding: Sharding = "none"

    @property
    def shards(self) -> int:
        """Parts that weights, gradients and moments are cut into."""
        return self.gpus if self.sharding == "fsdp" else 1

    @property
    def measured(self) -> bool:
        """Whether times are measured here, and not reckoned from published figures."""
        return self.device.name == HERE


def _gpu(name: str, gib: float, tflops: tuple[float, float], tb: float, link_gb: float) -> Device:
    return Device(
        name=name,
        memory_bytes=gib * 2**30,
        flops_per_s={"float32": tflops[0] * 1e12, "bfloat16": tflops[1] * 1e12},
        bytes_per_s=tb * 1e12,
        link_bytes_per_s=link_gb * 1e9,
    )


GPUS: Mapping[str, Device] = {
    gpu.name: gpu
    for gpu in (
        _gpu("b200", 180, (75, 2250), 8.0, 900),
        _gpu("h200", 141e9 / 2**30, (67, 989), 4.8, 450),
        _gpu("h100", 80, (67, 989), 3.35, 450),
        _gpu("a100-80", 80, (19.5, 312), 2.04, 300),
        _gpu("a100-40", 40, (19.5, 312), 1.56, 300),
        _gpu("l40s", 48e9 / 2**30, (91.6, 362), 0.864, 32),
        _gpu("a10", 24e9 / 2**30, (31.2, 125), 0.6, 32),
        _gpu("rtx4090", 24e9 / 2**30, (82.6, 165), 1.008, 32),
        _gpu("rtx3090", 24e9 / 2**30, (35.6, 71), 0.936, 32),
        _gpu("t4", 16e9 / 2**30, (8.1, 65), 0.32, 16),
    )
}
"""Dense matrix peaks (float32 without tensor cores, bfloat16 with them, nothing skipped as sparse),
memory bandwidth, and NVLink's or PCIe's rate in one direction, from the makers' data sheets. T4 has
no bfloat16: its float16 stands there."""


def device_of(name: str) -> Device:
    """
    Raises:
        ValueError: it is neither ``cpu`` nor a GPU of the table.
    """
    if name == HERE:
        return here()
    if name not in GPUS:
        raise ValueError(f"--device: {name}: not known{nearest(name, [HERE, *GPUS])}")
    return GPUS[name]


def here() -> Device:
    """The processor at hand and the memory of this machine."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Device(
        name=HERE, memory_bytes=float(pages), overhead_bytes=LIBRARIES_BYTES, flops_per_s={}
    )
