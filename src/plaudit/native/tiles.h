// Products of small tiles in registers, and the forms in which their operands are packed.
//
// Everything is made of words of 32 bits. A word holds one float (Single) or, where the processor
// multiplies pairs of bfloat16 and sums them in float32, two neighbours along the dimension that is
// summed over (Paired). Paired takes half the steps of Single and is otherwise the same.
//
// Every element of a product is summed in one order, whatever is around it.
#pragma once

#include "vectors.h"

namespace {  // its names are free in other kernels of the library

constexpr int TILE = LANES == 16 ? 8 : 4;  // rows of a product held in registers, and
constexpr int WIDTH = 2;                   // vectors of each of them

struct Single {
    typedef float Word;
    typedef Vec Words;               // of a vector
    static constexpr int STEPS = 1;  // numbers in a word
    static inline Words read(const float* b) { return load(b); }
    static inline Vec add_product(Vec sum, float a, Words b) { return sum + a * b; }
};

#if defined(__AVX512BF16__)
struct Paired {
    typedef uint32_t Word;
    typedef __m512i Words;
    static constexpr int STEPS = 2;
    static inline Words read(const uint32_t* b) { return _mm512_loadu_si512(b); }
    static inline Vec add_product(Vec sum, uint32_t a, Words b) {
        return (Vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32(a), (__m512bh)b);
    }
};
#endif

#if defined(__AVX512BF16__)
typedef Paired ForBf16;
#else
typedef Single ForBf16;
#endif

static inline long rounded_up(long n, long to) { return (n + to - 1) / to * to; }

// c[TILE rows, N vectors] = a b, or c + a b. A word of a stands at a[row * a_row + step * a_step].
template <class U, int N>
static inline void tile_product(
    const typename U::Word* a, long a_row, long a_step, const typename U::Word* b, long b_step,
    long depth, float* c, long c_row, bool add
) {
    Vec sums[TILE][N];
#pragma GCC unroll 8
    for (int m = 0; m < TILE; ++m)
#pragma GCC unroll 2
        for (int n = 0; n < N; ++n) sums[m][n] = add ? load(c + m * c_row + n * LANES) : Vec{};
    for (long s = 0; s < depth; ++s, a += a_step, b += b_step) {
        typename U::Words right[N];  // read once for all rows
#pragma GCC unroll 2
        for (int n = 0; n < N; ++n) hold(right[n] = U::read(b + n * LANES));
#pragma GCC unroll 8
        for (int m = 0; m < TILE; ++m)
#pragma GCC unroll 2
            for (int n = 0; n < N; ++n)
                sums[m][n] = U::add_product(sums[m][n], a[m * a_row], right[n]);
    }
#pragma GCC unroll 8
    for (int m = 0; m < TILE; ++m)
#pragma GCC unroll 2
        for (int n = 0; n < N; ++n) store(c + m * c_row + n * LANES, sums[m][n]);
}

// The same over as many vectors as there are.
template <class U>
static inline void row_product(
    const typename U::Word* a, long a_row, long a_step, const typename U::Word* b, long b_step,
    long depth, float* c, long c_row, long vectors, bool add
) {
    long n = 0;
    for (; n + WIDTH <= vectors; n += WIDTH)
        tile_product<U, WIDTH>(
            a, a_row, a_step, b + n * LANES, b_step, depth, c + n * LANES, c_row, add
        );
    for (; n < vectors; ++n)
        tile_product<U, 1>(
            a, a_row, a_step, b + n * LANES, b_step, depth, c + n * LANES, c_row, add
        );
}

// One row of `size` numbers as words along it, zeros up to `padded` numbers.
template <class T>
static inline void pack_row(Single, const T* row, long size, long padded, float* words) {
    long d = 0;
    for (; d + LANES <= size; d += LANES) store(words + d, load(row + d));
    for (; d < padded; ++d) words[d] = d < size ? load1(row + d) : 0.f;
}

// to[column * to_row + row] = from[row * columns + column]
template <class Word>
static inline void transpose(
    const Word* from, long rows, long columns, Word* to, long to_row
) {
    for (long c = 0; c < columns; ++c)
        for (long r = 0; r < rows; ++r) to[c * to_row + r] = from[r * columns + c];
}

// Rows as the right operand of a product that sums over them: of Single they lie so already.
static inline const float* along_rows(Single, const float* words, long, long, float*) {
    return words;
}

#if defined(__AVX512BF16__)
static inline void pack_row(Paired, const bf16* row, long size, long padded, uint32_t* words) {
    std::memcpy(words, row, size * sizeof(bf16));
    std::memset((bf16*)words + size, 0, (padded - size) * sizeof(bf16));
}

// Rows 2i and 2i + 1 become one row of pairs.
static inline const uint32_t* along_rows(
    Paired, const uint32_t* words, long rows, long padded, uint32_t* to
) {
    const bf16* from = (const bf16*)words;
    for (long r = 0; r < rows; r += 2, from += 2 * padded)
        for (long d = 0; d < padded; d += LANES, to += LANES) {
            ShortVec low, high;
            std::memcpy(&low, from + d, sizeof low);
            std::memcpy(&high, from + padded + d, sizeof high);
            IntVec pairs = __builtin_convertvector(low, IntVec)
                | (__builtin_convertvector(high, IntVec) << 16);
            std::memcpy(to, &pairs, sizeof pairs);
        }
    return to - rows / 2 * padded;
}

// The same of two rows of one vector each.
static inline void store_pairs(uint32_t* to, Vec first, Vec second) {
    const __m512i order = _mm512_set_epi16(
        31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8,
        23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0
    );
    __m512i both = (__m512i)_mm512_cvtne2ps_pbh((__m512)second, (__m512)first);
    _mm512_storeu_si512(to, _mm512_permutexvar_epi16(order, both));
}
#endif

// 2^x for x not far above 0, to about 2 units in the last place; 0 below 2^-126. NaN stays NaN.
static inline Vec exp2_below(Vec x) {
    const Vec low = splat(-126.f);
    Vec clamped = x < low ? low : x;
    // Adding 1.5 * 2^23 rounds to a whole number; 127 more make its low bits an exponent.
    const Vec magic = splat(12582912.f + 127.f);
    Vec shifted = clamped + magic;
    Vec r = clamped - (shifted - magic);
    Vec p = splat(1.326472731307149e-3f);
    p = p * r + 9.671512991189957e-3f;
    p = p * r + 5.550733581185341e-2f;
    p = p * r + 2.4022242426872253e-1f;
    p = p * r + 6.931470036506653e-1f;
    p = p * r + 1.f;
    IntVec bits;
    std::memcpy(&bits, &shifted, sizeof bits);
    bits <<= 23;
    Vec power;
    std::memcpy(&power, &bits, sizeof power);
    return x < low ? Vec{} : p * power;
}

}  // namespace
