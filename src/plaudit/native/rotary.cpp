// Rotary positions of queries or keys, and the pass back, which is the turn by minus the angle.
//
// X tokens, H heads, D their size, P positions. Number d of a head turns with number d + D/2 by the
// angle of its token's position: y = a cos - b sin, z = b cos + a sin, in float32, rounded once.
// Token x stands at position x mod P.
#include "vectors.h"

template <class T>
static void turn(
    const T* in_XHD, const T* cos_PD, const T* sin_PD, T* out_XHD, long tokens, long heads,
    long size, long positions, float sign, int threads
) {
    const long half = size / 2;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (long x = 0; x < tokens; ++x) {
        const T *cos_D = cos_PD + x % positions * size, *sin_D = sin_PD + x % positions * size;
        for (long d = 0; d < half; d += LANES) {
            long count = half - d;
            Vec c = load(cos_D + d, count), s = load(sin_D + d, count) * sign;
            for (long h = 0; h < heads; ++h) {
                long at = (x * heads + h) * size + d;
                Vec a = load(in_XHD + at, count), b = load(in_XHD + at + half, count);
                store(out_XHD + at, a * c - b * s, count);
                store(out_XHD + at + half, b * c + a * s, count);
            }
        }
    }
}

#define ROTARY(T, NAME)                                                                           \
    extern "C" void turn_##NAME(                                                                  \
        const T* in, const T* cos, const T* sin, T* out, long tokens, long heads, long size,      \
        long positions, float sign, int threads                                                   \
    ) {                                                                                           \
        turn(in, cos, sin, out, tokens, heads, size, positions, sign, threads);                   \
    }

ROTARY(float, float32)
ROTARY(bf16, bfloat16)
