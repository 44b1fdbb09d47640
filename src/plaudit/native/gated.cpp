// silu(gate) * up, and the pass back, which needs gate and up alone.
//
// N numbers. sigmoid = 1 / (1 + exp(-gate)), silu = gate * sigmoid; silu is rounded to the dtype
// before it is multiplied, as transformers' two operations do.
#include <algorithm>

#include "vectors.h"

constexpr long BLOCK = 4096;  // numbers that a thread takes at a time

static inline Vec sigmoid(Vec x) { return 1.f / (1.f + exp(-x)); }

template <class T>
static void forward(const T* gate_N, const T* up_N, T* y_N, long total, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (long begin = 0; begin < total; begin += BLOCK) {
        long end = std::min(total, begin + BLOCK);
        for (long n = begin; n < end; n += LANES) {
            Vec gate = load(gate_N + n, end - n), up = load(up_N + n, end - n);
            store(y_N + n, rounded<T>(gate * sigmoid(gate)) * up, end - n);
        }
    }
}

// d_gate = d_y up sigmoid (1 + gate (1 - sigmoid)), d_up = d_y silu
template <class T>
static void backward(
    const T* gate_N, const T* up_N, const T* d_y_N, T* d_gate_N, T* d_up_N, long total, int threads
) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (long begin = 0; begin < total; begin += BLOCK) {
        long end = std::min(total, begin + BLOCK);
        for (long n = begin; n < end; n += LANES) {
            long count = end - n;
            Vec gate = load(gate_N + n, count), up = load(up_N + n, count);
            Vec d_y = load(d_y_N + n, count), part = sigmoid(gate);
            Vec slope = part * (1.f + gate * (1.f - part));
            store(d_gate_N + n, d_y * up * slope, count);
            store(d_up_N + n, d_y * rounded<T>(gate * part), count);
        }
    }
}

#define GATED(T, NAME)                                                                            \
    extern "C" void silu_times_##NAME(                                                            \
        const T* gate, const T* up, T* y, long total, int threads                                 \
    ) {                                                                                           \
        forward(gate, up, y, total, threads);                                                     \
    }                                                                                             \
    extern "C" void silu_times_back_##NAME(                                                       \
        const T* gate, const T* up, const T* d_y, T* d_gate, T* d_up, long total, int threads     \
    ) {                                                                                           \
        backward(gate, up, d_y, d_gate, d_up, total, threads);                                    \
    }

GATED(float, float32)
GATED(bf16, bfloat16)
