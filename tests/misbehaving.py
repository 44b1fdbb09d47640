"""A verifier of a user's own that does all a verifier can do wrong; it imports little."""

from __future__ import annotations

import os

from plaudit.records import Invalid


def misbehaving(response: str, columns, *, scale: float = 1.0) -> float | Invalid:
    """What a verifier of a user's own can do wrong, by the response."""
    match response:
        case "hang":
            while True:
                pass
        case "die":
            os._exit(3)
        case "raise":
            raise KeyError("the key")
        case "deep":
            return misbehaving("deep", columns)
        case "greedy":
            return float(len(bytearray(1 << 40)))
        case "invalid":
            return Invalid(reason="cannot say")
        case "nan":
            return float("nan")
        case "text":
            return "1"  # type: ignore[return-value]
        case "loud":
            print("noise" * 100_000)
    return scale * len(response)
