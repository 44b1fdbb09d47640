// Drawing a token of each row of logits by inversion.
//
// B rows, V vocabulary, W tokens of a block. Probabilities are summed a block at a time before any
// running sum, which is double: over a large vocabulary a float would end short of 1.
#include <omp.h>

#include <cmath>
#include <vector>

#include "vectors.h"

constexpr long BLOCK = 64;

struct Drawn {
    int64_t token;
    float logprob;
};

// The first index at which the running sum exceeds `mass`; never one past the last of positive mass,
// whatever rounding did.
template <class Number>
static long first_above(const Number* parts, long many, double mass, double* before) {
    double running = 0;
    long last = 0;
    *before = 0;
    for (long k = 0; k < many; ++k) {
        if (parts[k] > 0) {
            last = k;
            *before = running;
        }
        running += parts[k];
        if (running > mass) return k;
    }
    return last;
}

static Drawn draw(const float* logits, long size, float temperature, double uniform, float* probs, double* blocks) {
    const float scale = 1 / temperature;
    float most = -INFINITY;
    bool broken = false;
    for (long v = 0; v < size; ++v) {
        most = logits[v] > most ? logits[v] : most;
        broken |= !(logits[v] < INFINITY);
    }
    if (broken || most == -INFINITY) return {-1, NAN};
    const long many = (size + BLOCK - 1) / BLOCK;
    double total = 0;
    for (long k = 0; k < many; ++k) {
        Vec sums{};
        for (long v = k * BLOCK; v < (k + 1) * BLOCK; v += LANES) {
            Vec z = splat(-INFINITY);
            if (v + LANES <= size) z = load(logits + v);
            else for (int i = 0; v + i < size; ++i) z[i] = logits[v + i];
            const Vec p = exp((z - most) * scale);
            store(probs + v, p);
            sums += p;
        }
        blocks[k] = sum(sums);
        total += blocks[k];
    }
    double before, within;
    const double mass = uniform * total;
    const long block = first_above(blocks, many, mass, &before);
    const long token = block * BLOCK + first_above(probs + block * BLOCK, BLOCK, mass - before, &within);
    return {token, float((logits[token] - most) * scale - std::log(total))};
}

// Token -1 where a row is no distribution: a logit is not a number, or infinite.
extern "C" void draw_tokens_float32(const float* logits, const double* uniforms, int64_t rows, int64_t size, float temperature,
                            int64_t* tokens, float* logprobs, int threads) {
#pragma omp parallel num_threads(threads)
    {
        std::vector<float> probs((size + BLOCK - 1) / BLOCK * BLOCK);
        std::vector<double> blocks((size + BLOCK - 1) / BLOCK);
#pragma omp for schedule(static)
        for (long r = 0; r < rows; ++r) {
            const Drawn drawn = draw(logits + r * size, size, temperature, uniforms[r], probs.data(), blocks.data());
            tokens[r] = drawn.token;
            logprobs[r] = drawn.logprob;
        }
    }
}
