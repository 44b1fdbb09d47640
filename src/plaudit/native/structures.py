"""What the kernels in ``decoder.cpp`` are handed, field for field."""

from __future__ import annotations

import ctypes

import numpy as np

ROW = np.dtype([(n, np.int32) for n in ("token", "holder", "parent", "parent_tokens", "position")])
"""A new token: whose pages it is kept in, and whose it sees before those (parent -1: nobody's)."""


class Weights(ctypes.Structure):
    _fields_ = (
        ("packed", ctypes.c_void_p), ("bias", ctypes.c_void_p), ("outputs", ctypes.c_int64),
    )  # fmt: skip


class Layer(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("attention", "mlp", "query", "key")),
        *((name, Weights) for name in ("query_key_value", "out", "gate_up", "down")),
        ("keys", ctypes.c_void_p), ("values", ctypes.c_void_p),
    )  # fmt: skip


class Model(ctypes.Structure):
    _fields_ = (
        ("layers", ctypes.POINTER(Layer)),
        *((name, ctypes.c_void_p) for name in ("embedding", "norm", "cosine", "sine")),
        *((name, ctypes.c_int64) for name in ("many_layers", "hidden", "inner")),
        *((name, ctypes.c_int32) for name in ("key_heads", "query_heads", "size", "window")),
        ("epsilon", ctypes.c_float), ("scale", ctypes.c_float),
    )  # fmt: skip


class Pages(ctypes.Structure):
    _fields_ = (("table", ctypes.c_void_p), ("longest", ctypes.c_int64))


class Scratch(ctypes.Structure):
    _fields_ = (
        *((n, ctypes.c_void_p) for n in ("residual", "projected", "scores", "factors", "inner")),
        ("room", ctypes.c_int64),
    )  # fmt: skip
