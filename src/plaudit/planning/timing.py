"""How long a phase takes on paper: published peaks times a stated utilisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from plaudit.models.loading import Precision
from plaudit.planning.arithmetic import phase_flops, sampling_flops
from plaudit.planning.coefficients import (
    BYTES,
    DECODING_BANDWIDTH,
    FORWARD_UTILISATION,
    LAUNCH_SECONDS,
    LAUNCHED,
    TRAINING_UTILISATION,
)
from plaudit.planning.devices import Placement
from plaudit.planning.work import Model, Phase, Sampling


class Clock(Protocol):
    """Knows how long phases take somewhere."""

    @property
    def said(self) -> str:
        """Where its figures are from."""
        ...

    def seconds(self, phase: Phase, precision: Precision) -> float:
        """Of one call, the optimiser's step included where one follows."""
        ...


@dataclass(frozen=True, slots=True)
class PaperClock:
    """Reckons with what a GPU's maker publishes; nothing is measured."""

    placement: Placement

    @property
    def said(self) -> str:
        device = self.placement.device.name
        return (
            f"on paper: {device}'s published figures, {TRAINING_UTILISATION:.0%} of its matrix "
            f"peak in training, {FORWARD_UTILISATION:.0%} in scoring, {DECODING_BANDWIDTH:.0%} of "
            "its memory bandwidth in sampling"
        )

    def seconds(self, phase: Phase, precision: Precision) -> float:
        if phase.sampling is not None:
            return sum(self._sampling(m, phase.sampling, precision) for m in phase.models)
        share = TRAINING_UTILISATION if phase.kind == "update" else FORWARD_UTILISATION
        flops = phase_flops(phase)
        # A device without a micro-batch of its own in the last round waits for the others.
        rounds = self._rounds(phase)
        computing = flops * rounds / len(phase.batches) / (self._peak(precision) * share)
        passing = max(computing, rounds * _launching(phase), self._exchanging(phase, precision))
        return passing + self._stepping(phase, precision)

    def _rounds(self, phase: Phase) -> int:
        return -(-len(phase.batches) // self.placement.gpus)

    def _peak(self, precision: Precision) -> float:
        return self.placement.device.flops_per_s[precision]

    def _sampling(self, model: Model, sampling: Sampling, precision: Precision) -> float:
        """Prompts at the rate of a forward pass, then at each token all weights and keys are read.

        With shards, each device reads its part of them (tensor parallelism). No less than computing
        takes.
        """
        device, gpus, shape = self.placement.device, self.placement.gpus, model.shape
        size, sampling = BYTES[precision], sampling.on(gpus)
        prompts = 2.0 * shape.matrix_parameters * sampling.prompts * sampling.prompt_tokens
        rate = device.flops_per_s[precision] * FORWARD_UTILISATION * gpus
        together = self.placement.shards
        active = sampling.active / (1 if together > 1 else gpus)
        keys = 2 * shape.layers * shape.key_size * sampling.context * active
        read = (model.weights + keys) * size / together
        reading = read / (device.bytes_per_s * DECODING_BANDWIDTH)
        token = max(reading, LAUNCHED * LAUNCH_SECONDS * shape.layers)
        decoding = prompts / rate + sampling.decoding_steps * token
        return max(decoding, sampling_flops(model, sampling) / rate)

    def _exchanging(self, phase: Phase, precision: Precision) -> float:
        """Of one call, hidden behind the computing where that takes longer.

        Shards are gathered for each pass, twice with a backward pass, and gradients are scattered;
        without shards gradients are summed over the devices once an update.
        """
        placement, size = self.placement, BYTES[precision]
        if placement.gpus == 1:
            return 0.0
        share = (placement.gpus - 1) / placement.gpus
        if placement.shards == 1:
            learned = sum(model.learned for model in phase.models) if phase.updates else 0
            return 2 * share * learned * size / placement.device.link_bytes_per_s
        times = {True: 3, False: 1}
        moved = sum(times[m.trained and phase.kind == "update"] * m.weights for m in phase.models)
        return self._rounds(phase) * share * moved * size / placement.device.link_bytes_per_s

    def _stepping(self, phase: Phase, precision: Precision) -> float:
        """AdamW reads and writes masters, moments and weights, and reads gradients."""
        if not phase.updates:
            return 0.0
        learned = sum(model.learned for model in phase.models) / self.placement.shards
        moved = learned * (28 + BYTES[precision])
        return moved / self.placement.device.bytes_per_s


def _launching(phase: Phase) -> float:
    """Of one micro-batch."""
    passes = [3 if phase.kind == "update" and model.trained else 1 for model in phase.models]
    layers = sum(p * m.shape.layers for p, m in zip(passes, phase.models, strict=True))
    return LAUNCHED * LAUNCH_SECONDS * layers
