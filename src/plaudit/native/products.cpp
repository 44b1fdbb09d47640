// A linear layer in bfloat16: y = x W', and its gradients dx = dy W and dW = dy' x.
//
// X rows, I inputs, O outputs; inputs and outputs are multiples of LANES. A product is summed over
// pairs, as the instruction takes them: of inputs, of outputs, of rows. The factor whose columns are
// the answer's is packed tile by tile, as gemm.h says. Sums are float32, each by one thread in the
// order of its pairs, and rounded once.
#include <omp.h>

#include "gemm.h"

#if defined(__AVX512BF16__)
static_assert(TILE % LANES == 0 && LANES == 16);
constexpr long STRIPS = 8, CHUNK = STRIPS * ROWS;  // of the answer's rows, for one task
constexpr long SUMMED = 1024;  // rows that a strip sums over before the next one does
static_assert(CHUNK % LANES == 0);

// Lines of 16 numbers of 32 bits become columns.
static inline void transpose(__m512i* x) {
    __m512i y[16];
    for (int i = 0; i < 16; i += 2) {
        y[i] = _mm512_unpacklo_epi32(x[i], x[i + 1]);
        y[i + 1] = _mm512_unpackhi_epi32(x[i], x[i + 1]);
    }
    for (int i = 0; i < 16; i += 4)
        for (int j = 0; j < 2; ++j) {
            x[i + 2 * j] = _mm512_unpacklo_epi64(y[i + j], y[i + j + 2]);
            x[i + 2 * j + 1] = _mm512_unpackhi_epi64(y[i + j], y[i + j + 2]);
        }
    for (int i = 0; i < 4; ++i)
        for (int j = 0; j < 16; j += 8) {
            y[j + i] = _mm512_shuffle_i32x4(x[j + i], x[j + i + 4], 0x88);
            y[j + i + 4] = _mm512_shuffle_i32x4(x[j + i], x[j + i + 4], 0xdd);
        }
    for (int i = 0; i < 8; ++i) {
        x[i] = _mm512_shuffle_i32x4(y[i], y[i + 8], 0x88);
        x[i + 8] = _mm512_shuffle_i32x4(y[i], y[i + 8], 0xdd);
    }
}

// W [O, I] to be summed over inputs: [tile of outputs, I / 2, TILE, 2].
static void pack_lines(const bf16* w, long outputs, long inputs, bf16* packed) {
    const long blocks = tiles(outputs) * (TILE / LANES);
#pragma omp for schedule(static)
    for (long block = 0; block < blocks; ++block) {
        const long first = block * LANES;
        bf16* tile = packed + first / TILE * TILE * inputs + first % TILE * 2;
        for (long k = 0; k < inputs; k += 2 * LANES) {
            const long pairs = inputs - k < 2 * LANES ? (inputs - k) / 2 : LANES;
            const __mmask16 there = first < outputs ? (1u << pairs) - 1 : 0;
            __m512i x[16];
            for (int i = 0; i < 16; ++i) x[i] = _mm512_maskz_loadu_epi32(there, w + (first + i) * inputs + k);
            transpose(x);
            for (long p = 0; p < pairs; ++p) _mm512_storeu_si512(tile + (k / 2 + p) * 2 * TILE, x[p]);
        }
    }
}

// Two lines as pairs, 16 of them; the second may be missing.
static inline __m512i paired(const bf16* one, const bf16* other) {
    const __m512i low = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)one));
    if (!other) return low;
    const __m512i high = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)other));
    return _mm512_or_si512(low, _mm512_slli_epi32(high, 16));
}

// Calls write(pair, first of `step` columns, one line, the other or none) for the pairs of lines of
// M [R, C], some at a time, so that what is written lies together.
template <class Write>
static void pair_lines(const bf16* m, long lines, long columns, long step, Write write) {
    constexpr long SOME = 16;
    const long pairs = (lines + 1) / 2;
#pragma omp for schedule(static)
    for (long block = 0; block < (pairs + SOME - 1) / SOME; ++block)
        for (long first = 0; first < columns; first += step)
            for (long p = block * SOME; p < pairs && p < (block + 1) * SOME; ++p) {
                const bf16* one = m + 2 * p * columns;
                write(p, first, one, 2 * p + 1 < lines ? one + columns : nullptr);
            }
}

// `count` columns of two lines, zeros beyond the last.
static inline void pair_some(const bf16* one, const bf16* other, long first, long columns, long count, int32_t* out) {
    for (long c = 0; c < count; c += LANES) {
        const bool there = first + c < columns;
        _mm512_storeu_si512(out + c, there ? paired(one + first + c, other ? other + first + c : nullptr) : _mm512_setzero_si512());
    }
}

// M [R, C] to be summed over its lines: [tile of columns, R / 2 rounded up, TILE, 2].
static void pack_columns(const bf16* m, long lines, long columns, bf16* packed) {
    const long pairs = (lines + 1) / 2;
    pair_lines(m, lines, columns, TILE, [&](long p, long first, const bf16* one, const bf16* other) {
        pair_some(one, other, first, columns, TILE, (int32_t*)packed + first * pairs + p * TILE);
    });
}

// M [R, C] whose columns are the answer's rows: [strip of columns, R / 2 rounded up, ROWS, 2].
static void pack_strips(const bf16* m, long lines, long columns, bf16* packed) {
    const long pairs = (lines + 1) / 2;
    pair_lines(m, lines, columns, CHUNK, [&](long p, long first, const bf16* one, const bf16* other) {
        int32_t both[CHUNK];
        pair_some(one, other, first, columns, CHUNK, both);
        int32_t* strip = (int32_t*)packed + first * pairs + p * ROWS;
        for (int s = 0; s < STRIPS; ++s) std::memcpy(strip + s * pairs * ROWS, both + s * ROWS, 4 * ROWS);
    });
}

// y [X, O] of factors a [X, I] and a packed one.
static void multiply_lines(const bf16* a, long rows, long inputs, const bf16* packed, long outputs, const bf16* bias, bf16* y) {
    product(a, rows, inputs, packed, outputs, [&](long row, long first, const Vec* sums) {
        for (int v = 0; v < VECTORS && first + v * LANES < outputs; ++v) {
            const long at = first + v * LANES;
            store(y + row * outputs + at, bias ? sums[v] + load(bias + at) : sums[v]);
        }
    });
}

// d [C, D], summed over lines: columns of one factor, packed in strips, times those of the other.
static void multiply_columns(const bf16* strips, const bf16* packed, long lines, long rows, long columns, bf16* d) {
    const long pairs = (lines + 1) / 2, chunks = (rows + CHUNK - 1) / CHUNK;
#pragma omp for schedule(static)
    for (long task = 0; task < tiles(columns) * chunks; ++task) {
        const long tile = task / chunks, first = task % chunks * STRIPS;
        __m512 sums[STRIPS][ROWS][VECTORS] = {};
        for (long p = 0; p < pairs; p += SUMMED / 2) {
            const long some = pairs - p < SUMMED / 2 ? pairs - p : SUMMED / 2;
            for (long s = 0; s < STRIPS && (first + s) * ROWS < rows; ++s) {
                __m512 sum[ROWS][VECTORS];
                std::memcpy(sum, sums[s], sizeof sum);
                add_product<ROWS, ROWS>(strips + ((first + s) * pairs + p) * 2 * ROWS, 2,
                                        packed + (tile * pairs + p) * 2 * TILE, 2 * some, sum);
                std::memcpy(sums[s], sum, sizeof sum);
            }
        }
        for (long r = 0; r < CHUNK && first * ROWS + r < rows; ++r)
            for (int v = 0; v < VECTORS && tile * TILE + v * LANES < columns; ++v)
                store(d + (first * ROWS + r) * columns + tile * TILE + v * LANES, (Vec)sums[r / ROWS][r % ROWS][v]);
    }
}

extern "C" void linear_bfloat16(const bf16* x, const bf16* w, const bf16* bias, bf16* packed, bf16* y, int64_t rows,
                                int64_t inputs, int64_t outputs, int threads) {
#pragma omp parallel num_threads(threads)
    {
        pack_lines(w, outputs, inputs, packed);
        multiply_lines(x, rows, inputs, packed, outputs, bias, y);
    }
}

extern "C" void linear_back_bfloat16(const bf16* dy, const bf16* w, bf16* packed, bf16* dx, int64_t rows, int64_t inputs,
                                     int64_t outputs, int threads) {
#pragma omp parallel num_threads(threads)
    {
        pack_columns(w, outputs, inputs, packed);
        multiply_lines(dy, rows, outputs, packed, inputs, nullptr, dx);
    }
}

extern "C" void linear_weights_bfloat16(const bf16* dy, const bf16* x, bf16* strips, bf16* packed, bf16* dw, int64_t rows,
                                        int64_t inputs, int64_t outputs, int threads) {
#pragma omp parallel num_threads(threads)
    {
        pack_strips(dy, rows, outputs, strips);
        pack_columns(x, rows, inputs, packed);
        multiply_columns(strips, packed, rows, outputs, inputs, dw);
    }
}
#endif
