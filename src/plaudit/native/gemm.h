// Products of activations with packed weights: Y[X, N] = A[X, K] W[N, K]^T.
//
// X rows, K inputs, N outputs; a tile is TILE outputs, a strip ROWS rows. Weights are packed tile by
// tile, so that a strip's product with a tile reads them once and in order. T is what both factors
// are held in; sums are float32, each by one thread in the order of K, whatever else is computed
// beside it.
#pragma once

#include "vectors.h"

constexpr int VECTORS = LANES == 16 ? 4 : 2;  // of a tile; with ROWS they fill the registers
constexpr int TILE = VECTORS * LANES;
constexpr int ROWS = 6;

static inline long tiles(long outputs) { return (outputs + TILE - 1) / TILE; }

typedef Vec Sums[ROWS][VECTORS];

// One strip of M rows times one tile.
template <int M>
static inline void multiply(const float* a, long stride, const float* w, long inputs, Sums& sums) {
    Vec sum[M][VECTORS] = {};
    for (long k = 0; k < inputs; ++k, w += TILE) {
        Vec column[VECTORS];
        for (int v = 0; v < VECTORS; ++v) column[v] = load(w + v * LANES);
        for (int m = 0; m < M; ++m)
            for (int v = 0; v < VECTORS; ++v) sum[m][v] += a[m * stride + k] * column[v];
    }
    for (int m = 0; m < M; ++m)
        for (int v = 0; v < VECTORS; ++v) sums[m][v] = sum[m][v];
}

#if defined(__AVX512BF16__)
// Pairs of inputs lie side by side, as the instruction takes them; `inputs` is even. A row's next
// pair lies 2 STEP numbers further on.
template <int M, int STEP>
static inline void add_product(const bf16* a, long stride, const bf16* w, long inputs, __m512 (&sum)[M][VECTORS]) {
    for (long k = 0; k < inputs; k += 2, w += 2 * TILE) {
        __m512bh column[VECTORS];
        for (int v = 0; v < VECTORS; ++v) column[v] = (__m512bh)_mm512_loadu_si512(w + 2 * v * LANES);
        for (int m = 0; m < M; ++m) {
            int32_t pair;
            std::memcpy(&pair, a + m * stride + k * STEP, sizeof pair);
            __m512bh both = (__m512bh)_mm512_set1_epi32(pair);
            for (int v = 0; v < VECTORS; ++v) sum[m][v] = _mm512_dpbf16_ps(sum[m][v], both, column[v]);
        }
    }
}

template <int M>
static inline void multiply(const bf16* a, long stride, const bf16* w, long inputs, Sums& sums) {
    __m512 sum[M][VECTORS] = {};
    add_product<M, 1>(a, stride, w, inputs, sum);
    for (int m = 0; m < M; ++m)
        for (int v = 0; v < VECTORS; ++v) sums[m][v] = (Vec)sum[m][v];
}
#endif

template <class T>
static inline void multiply(int rows, const T* a, long stride, const T* w, long inputs, Sums& sums) {
    switch (rows) {
        case 1: return multiply<1>(a, stride, w, inputs, sums);
        case 2: return multiply<2>(a, stride, w, inputs, sums);
        case 3: return multiply<3>(a, stride, w, inputs, sums);
        case 4: return multiply<4>(a, stride, w, inputs, sums);
        case 5: return multiply<5>(a, stride, w, inputs, sums);
        default: return multiply<ROWS>(a, stride, w, inputs, sums);
    }
}

// All of a product, by the threads of the parallel region it is called from, which meet at its end.
// finish(row, first output, the TILE sums of the row) is called once for every row and tile.
template <class T, class Finish>
static void product(const T* a, long rows, long inputs, const T* packed, long outputs, Finish finish) {
    constexpr long CHUNK = 8 * ROWS;
    const long chunks = (rows + CHUNK - 1) / CHUNK, many = tiles(outputs) * chunks;
#pragma omp for schedule(static)
    for (long task = 0; task < many; ++task) {
        const long tile = task / chunks, begin = task % chunks * CHUNK;
        const long end = begin + CHUNK < rows ? begin + CHUNK : rows;
        for (long row = begin; row < end; row += ROWS) {
            Sums sums;
            const int strip = end - row < ROWS ? end - row : ROWS;
            multiply(strip, a + row * inputs, inputs, packed + tile * TILE * inputs, inputs, sums);
            for (int m = 0; m < strip; ++m) finish(row + m, tile * TILE, sums[m]);
        }
    }
}

// Weights [N, K] become outputs of a packed matrix, of which they are those from `first` on; where
// `halves` is 1 or 2 they are the first or the second half of every tile instead.
template <class S, class T>
static void pack(const S* weights, long outputs, long inputs, long first, int halves, T* packed, int threads) {
    constexpr long PAIR = sizeof(T) == 2 ? 2 : 1, PART = 64, HALF = TILE / 2;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (long block = 0; block < (outputs + HALF - 1) / HALF; ++block)
        for (long part = 0; part < inputs; part += PART)
            for (long n = block * HALF; n < outputs && n < (block + 1) * HALF; ++n) {
                const long out = halves ? n / HALF * TILE + n % HALF + (halves - 1) * HALF : first + n;
                T* column = packed + out / TILE * TILE * inputs + out % TILE * PAIR;
                for (long k = part; k < inputs && k < part + PART; ++k)
                    store1(column + k / PAIR * PAIR * TILE + k % PAIR, load1(weights + n * inputs + k));
            }
}
