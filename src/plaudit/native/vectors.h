// Vectors of floats as wide as the processor's, by the compiler's own vector types.
#pragma once

#include <cstdint>
#include <cstring>
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
constexpr int LANES = 16;
#elif defined(__AVX__)
constexpr int LANES = 8;
#else
constexpr int LANES = 4;
#endif

typedef float Vec __attribute__((vector_size(LANES * 4)));
typedef int32_t IntVec __attribute__((vector_size(LANES * 4)));
typedef uint16_t ShortVec __attribute__((vector_size(LANES * 2)));
typedef uint16_t bf16;  // the upper half of a float

static inline Vec load(const float* p) {
    Vec v;
    std::memcpy(&v, p, sizeof v);
    return v;
}

static inline void store(float* p, Vec v) { std::memcpy(p, &v, sizeof v); }

// g++ 12 makes four instructions of the conversion, where one does.
static inline Vec load(const bf16* p) {
    ShortVec half;
    std::memcpy(&half, p, sizeof half);
#if defined(__AVX512F__)
    // The masked form, since g++ 12 warns of the other.
    IntVec whole = (IntVec)_mm512_mask_cvtepu16_epi32(_mm512_setzero_si512(), 0xffff, (__m256i)half) << 16;
#else
    IntVec whole = __builtin_convertvector(half, IntVec) << 16;
#endif
    Vec v;
    std::memcpy(&v, &whole, sizeof v);
    return v;
}

// To the nearest, ties to even, as PyTorch rounds; NaN stays NaN.
static inline bf16 to_bf16(float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, 4);
    if (x != x) return 0x7fc0;
    return (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
}

static inline void store(bf16* p, Vec v) {
#if defined(__AVX512BF16__)
    __m256bh half = _mm512_cvtneps_pbh((__m512)v);
    std::memcpy(p, &half, sizeof half);
#else
    for (int i = 0; i < LANES; ++i) p[i] = to_bf16(v[i]);
#endif
}

static inline float load1(const float* p) { return *p; }

static inline float load1(const bf16* p) {
    uint32_t bits = uint32_t(*p) << 16;
    float x;
    std::memcpy(&x, &bits, 4);
    return x;
}

static inline void store1(float* p, float x) { *p = x; }
static inline void store1(bf16* p, float x) { *p = to_bf16(x); }

// Keeps what was read in a register. g++ would read it again for every product it is a factor of,
// since one instruction can do both; a core multiplies faster than it reads.
template <class V>
static inline void hold(V& v) {
#if defined(__AVX512F__)
    asm("" : "+v"(v));
#elif defined(__AVX__)
    asm("" : "+x"(v));
#endif
}

static inline Vec splat(float x) { return Vec{} + x; }

static inline float sum(Vec v) {
    float total = 0;
    for (int i = 0; i < LANES; ++i) total += v[i];
    return total;
}

static inline Vec max(Vec a, Vec b) { return a > b ? a : b; }
static inline Vec min(Vec a, Vec b) { return a < b ? a : b; }

static inline float max(Vec v) {
    float most = v[0];
    for (int i = 1; i < LANES; ++i) most = v[i] > most ? v[i] : most;
    return most;
}

// |r| <= ln 2 / 2; by the polynomial of Cephes.
static inline Vec exp_near_0(Vec r) {
    Vec p = splat(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    return p * r * r + r + 1.f;
}

// exp(x) to about 2 units in the last place; 0 far below -87, so that -infinity gives 0. NaN stays
// NaN. Where the processor scales by powers of two itself it takes half the instructions.
static inline Vec exp(Vec x) {
#if defined(__AVX512F__)
    // Of a pair with NaN the second is taken: x.
    __m512 clamped = _mm512_max_ps(_mm512_set1_ps(-110.f), (__m512)x);
    clamped = _mm512_min_ps(_mm512_set1_ps(89.f), clamped);
    const __m512 zero = _mm512_setzero_ps(), log2_e = _mm512_set1_ps(1.44269504088896341f);
    // The masked forms, since g++ 12 warns of the others.
    __m512 n = _mm512_mask_roundscale_ps(zero, 0xffff, _mm512_mul_ps(clamped, log2_e), 0);
    Vec whole = (Vec)n, r = (Vec)clamped - whole * 0.693145751953125f;
    r -= whole * 1.42860682030941723212e-6f;
    Vec p = exp_near_0(r);
    return (Vec)_mm512_mask_scalef_ps(zero, 0xffff, (__m512)p, n);
#else
    const Vec low = splat(-87.f), high = splat(88.f);
    Vec clamped = x < low ? low : (x > high ? high : x);
    // x = n ln 2 + r with |r| <= ln 2 / 2; adding 1.5 * 2^23 rounds to the nearest whole number.
    const Vec magic = splat(12582912.f);
    Vec shifted = clamped * 1.44269504088896341f + magic;
    Vec n = shifted - magic;
    Vec r = clamped - n * 0.693145751953125f - n * 1.42860682030941723212e-6f;
    Vec p = exp_near_0(r);
    IntVec bits;
    std::memcpy(&bits, &shifted, sizeof bits);
    IntVec power = (bits - 0x4b400000 + 127) << 23;
    Vec scale;
    std::memcpy(&scale, &power, sizeof scale);
    Vec result = p * scale;
    result = x < low ? Vec{} : result;
    return x != x ? x : result;
#endif
}

// A row's last numbers are fewer than a vector: kept out of the loops, so that these stay small.
template <class T>
__attribute__((noinline, cold)) static Vec load_last(const T* p, long count) {
    Vec v{};
    for (long i = 0; i < count; ++i) v[i] = load1(p + i);
    return v;
}

template <class T>
__attribute__((noinline, cold)) static void store_last(T* p, Vec v, long count) {
    for (long i = 0; i < count; ++i) store1(p + i, v[i]);
}

// The first `count` numbers (at most a vector of them), and zeros after them.
template <class T>
static inline Vec load(const T* p, long count) {
    return __builtin_expect(count >= LANES, 1) ? load(p) : load_last(p, count);
}

template <class T>
static inline void store(T* p, Vec v, long count) {
    if (__builtin_expect(count >= LANES, 1)) return store(p, v);
    store_last(p, v, count);
}

// As they read again once they were stored.
template <class T>
static inline Vec rounded(Vec v) {
    T kept[LANES];
    store(kept, v);
    return load(kept);
}
