// RMSNorm with the residual sum before it, and both passes back.
//
// X tokens, D hidden size, C chunks of tokens. s = x + added; n = s / sqrt(mean(s^2) + epsilon);
// y = n * weight, where n is rounded to the dtype of y before it is weighed, as transformers does.
// A weight's gradient is a sum over tokens: each chunk sums its own, then chunks are summed in
// their order, and chunks depend on X alone; so no sum depends on how many threads there are.
#include <algorithm>
#include <cmath>

#include "vectors.h"

template <class T>
static void forward(
    const T* x_XD, const T* added_XD, const T* weight_D, T* sum_XD, T* y_XD, float* inverse_X,
    long tokens, long size, float epsilon, int threads
) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (long x = 0; x < tokens; ++x) {
        const T* in_D = x_XD + x * size;
        Vec squares{};
        if (added_XD) {
            T* sum_D = sum_XD + x * size;
            for (long d = 0; d < size; d += LANES) {
                Vec s = load(in_D + d, size - d) + load(added_XD + x * size + d, size - d);
                s = rounded<T>(s);
                store(sum_D + d, s, size - d);
                squares += s * s;
            }
            in_D = sum_D;
        } else {
            for (long d = 0; d < size; d += LANES) {
                Vec s = load(in_D + d, size - d);
                squares += s * s;
            }
        }
        float inverse = 1 / std::sqrt(sum(squares) / size + epsilon);
        inverse_X[x] = inverse;
        for (long d = 0; d < size; d += LANES) {
            Vec n = rounded<T>(load(in_D + d, size - d) * inverse);
            store(y_XD + x * size + d, n * load(weight_D + d, size - d), size - d);
        }
    }
}

// One token: d_s = inverse * (g - n mean(g n)) + what comes to s past the norm, with
// g = d_y * weight; and d_y * n is added to the weight's gradient.
template <class T>
static inline void token_back(
    const T* s_D, const T* weight_D, float inverse, const T* d_y_D, const T* d_past_D, T* d_s_D,
    float* d_weight_D, long size
) {
    Vec product{};
    for (long d = 0; d < size; d += LANES) {
        Vec g = load(d_y_D + d, size - d) * load(weight_D + d, size - d);
        product += g * load(s_D + d, size - d);
    }
    float mean = sum(product) * inverse / size;
    for (long d = 0; d < size; d += LANES) {
        long count = size - d;
        Vec d_y = load(d_y_D + d, count), n = load(s_D + d, count) * inverse;
        Vec back = (d_y * load(weight_D + d, count) - n * mean) * inverse;
        if (d_past_D) back += load(d_past_D + d, count);
        store(d_s_D + d, back, count);
        if (d_weight_D) {
            Vec before = load(d_weight_D + d, count);
            store(d_weight_D + d, before + d_y * rounded<T>(n), count);
        }
    }
}

template <class T>
static void backward(
    const T* s_XD, const T* weight_D, const float* inverse_X, const T* d_y_XD, const T* d_past_XD,
    T* d_s_XD, float* d_weight_CD, T* d_weight_D, long tokens, long size, long chunks, int threads
) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (long c = 0; c < chunks; ++c) {
        float* own_D = d_weight_D ? d_weight_CD + c * size : nullptr;
        if (own_D) std::fill(own_D, own_D + size, 0.f);
        for (long x = tokens * c / chunks; x < tokens * (c + 1) / chunks; ++x) {
            long at = x * size;
            const T* past_D = d_past_XD ? d_past_XD + at : nullptr;
            token_back(
                s_XD + at, weight_D, inverse_X[x], d_y_XD + at, past_D, d_s_XD + at, own_D, size
            );
        }
    }
    if (!d_weight_D) return;
    for (long d = 0; d < size; d += LANES) {
        Vec total{};
        for (long c = 0; c < chunks; ++c) total += load(d_weight_CD + c * size + d, size - d);
        store(d_weight_D + d, total, size - d);
    }
}

#define NORMS(T, NAME)                                                                            \
    extern "C" void rms_norm_##NAME(                                                              \
        const T* x, const T* added, const T* weight, T* sum, T* y, float* inverse, long tokens,   \
        long size, float epsilon, int threads                                                     \
    ) {                                                                                           \
        forward(x, added, weight, sum, y, inverse, tokens, size, epsilon, threads);               \
    }                                                                                             \
    extern "C" void rms_norm_back_##NAME(                                                         \
        const T* s, const T* weight, const float* inverse, const T* d_y, const T* d_past, T* d_s, \
        float* d_weight_chunks, T* d_weight, long tokens, long size, long chunks, int threads     \
    ) {                                                                                           \
        backward(                                                                                 \
            s, weight, inverse, d_y, d_past, d_s, d_weight_chunks, d_weight, tokens, size,        \
            chunks, threads                                                                       \
        );                                                                                        \
    }

NORMS(float, float32)
NORMS(bf16, bfloat16)
