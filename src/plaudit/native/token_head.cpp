// Log-probabilities and entropies of tokens from their logits, and the pass back to the logits.
//
// N tokens, V vocabulary. z = logits / temperature, in float32; L = log sum_v exp(z_v);
// logprob = z[target] - L; H = L - sum_v p_v z_v with p = exp(z - L). A token's logits are passed
// over twice on the way in (their maximum, then the sums) and once on the way back, one thread a
// token.
#include <cmath>

#include "vectors.h"

template <class T>
static inline Vec scaled(const T* logits, long count, float inverse_temperature) {
    return load(logits, count) * inverse_temperature;
}

// Lanes past the end of a row must not count: what stands there is -infinity.
static inline Vec ended(Vec v, long count) {
    for (long i = count; i < LANES; ++i) v[i] = -INFINITY;
    return v;
}

struct Sums {
    Vec whole{}, weighed{};

    // p is exp(z - most); a logit of -infinity has no share of the entropy's sum.
    inline void add(Vec z, Vec most, bool with_entropy) {
        Vec p = exp(z - most);
        whole += p;
        if (with_entropy) weighed += p == Vec{} ? Vec{} : p * (z - most);
    }
};

template <class T>
static void forward(
    const T* logits_NV, const int64_t* target_N, float* logprob_N, float* entropy_N,
    float* normaliser_N, long tokens, long vocab, float inverse_temperature, int threads
) {
    const bool with_entropy = entropy_N;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (long n = 0; n < tokens; ++n) {
        const T* row_V = logits_NV + n * vocab;
        const long whole = vocab / LANES * LANES;
        Vec highest = splat(-INFINITY);
        for (long v = 0; v < whole; v += LANES) highest = max(highest, load(row_V + v));
        if (whole < vocab) {
            highest = max(highest, ended(load(row_V + whole, vocab - whole), vocab - whole));
        }
        float most = max(highest) * inverse_temperature;
        Sums sums;
        for (long v = 0; v < whole; v += LANES) {
            sums.add(scaled(row_V + v, LANES, inverse_temperature), splat(most), with_entropy);
        }
        if (whole < vocab) {
            Vec last = scaled(row_V + whole, vocab - whole, inverse_temperature);
            sums.add(ended(last, vocab - whole), splat(most), with_entropy);
        }
        float total = sum(sums.whole), normaliser = most + std::log(total);
        normaliser_N[n] = normaliser;
        const bool known = target_N[n] >= 0 && target_N[n] < vocab;
        float target = known ? load1(row_V + target_N[n]) : NAN;
        logprob_N[n] = target * inverse_temperature - normaliser;
        if (with_entropy) entropy_N[n] = std::log(total) - sum(sums.weighed) / total;
    }
}

// dlogprob/dz_v = [v = target] - p_v and dH/dz_v = -p_v (log p_v + H).
template <class T>
static void backward(
    const T* logits_NV, const int64_t* target_N, const float* normaliser_N, const float* entropy_N,
    const float* d_logprob_N, const float* d_entropy_N, T* d_logits_NV, long tokens, long vocab,
    float inverse_temperature, int threads
) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (long n = 0; n < tokens; ++n) {
        const T* row_V = logits_NV + n * vocab;
        T* d_row_V = d_logits_NV + n * vocab;
        float d_logprob = d_logprob_N ? d_logprob_N[n] * inverse_temperature : 0;
        float d_entropy = d_entropy_N ? d_entropy_N[n] * inverse_temperature : 0;
        float entropy = d_entropy_N ? entropy_N[n] : 0, normaliser = normaliser_N[n];
        for (long v = 0; v < vocab; v += LANES) {
            Vec logp = scaled(row_V + v, vocab - v, inverse_temperature) - normaliser;
            Vec p = exp(logp), slope = splat(d_logprob);
            if (d_entropy_N) slope += p == Vec{} ? Vec{} : d_entropy * (logp + entropy);
            store(d_row_V + v, -p * slope, vocab - v);
        }
        long v = target_N[n];
        if (v < 0 || v >= vocab) continue;
        float logp = load1(row_V + v) * inverse_temperature - normaliser, p = std::exp(logp);
        float back = d_logprob - p * (d_logprob + d_entropy * (logp + entropy));
        store1(d_row_V + v, back);
    }
}

#define HEAD(T, NAME)                                                                             \
    extern "C" void token_head_##NAME(                                                            \
        const T* logits, const int64_t* target, float* logprob, float* entropy,                   \
        float* normaliser, long tokens, long vocab, float inverse_temperature, int threads        \
    ) {                                                                                           \
        forward(                                                                                  \
            logits, target, logprob, entropy, normaliser, tokens, vocab, inverse_temperature,     \
            threads                                                                               \
        );                                                                                        \
    }                                                                                             \
    extern "C" void token_head_back_##NAME(                                                       \
        const T* logits, const int64_t* target, const float* normaliser, const float* entropy,    \
        const float* d_logprob, const float* d_entropy, T* d_logits, long tokens, long vocab,     \
        float inverse_temperature, int threads                                                    \
    ) {                                                                                           \
        backward(                                                                                 \
            logits, target, normaliser, entropy, d_logprob, d_entropy, d_logits, tokens, vocab,   \
            inverse_temperature, threads                                                          \
        );                                                                                        \
    }

HEAD(float, float32)
HEAD(bf16, bfloat16)
