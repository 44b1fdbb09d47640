// Attention of new tokens to keys and values in pages.
//
// A page holds PAGE tokens of one holder: its keys as [G, D, PAGE], so that a query meets LANES keys
// at a time, its values as [G, PAGE, D]. A row sees what its parent holds, if it has one, then what
// its own holder has up to the row's token.
//
// G key heads, Q query heads of each, D numbers of a head, U queries taken together.
#pragma once

#include <cmath>
#include <limits>

#include "vectors.h"

constexpr int PAGE = 64;
constexpr int TOGETHER = 4;

struct Row {
    int32_t token, holder, parent, parent_tokens, position;
};

struct Pages {
    const int32_t* table;  // [holders, longest]: which pages are a holder's, in order
    int64_t longest;
};

struct Heads {
    int32_t keys, queries, size;  // G, Q, D
    int32_t window;               // tokens this far back are not seen; 0: all are
};

// Where a token of the sequence lies.
static inline int32_t page_of(const Pages& pages, const Row& row, long token, int* offset) {
    const bool mine = token >= row.parent_tokens;
    const long within = mine ? token - row.parent_tokens : token;
    *offset = within % PAGE;
    return pages.table[(mine ? row.holder : row.parent) * pages.longest + within / PAGE];
}

// What will be read next is asked for while this is computed: pages lie anywhere, and no processor
// guesses across them.
template <class S>
static inline void ask_for(const S* next, int part, int bytes) {
    const char* at = reinterpret_cast<const char*>(next) + long(part) * bytes;
    for (int b = 0; b < bytes; b += 64) __builtin_prefetch(at + b);
}

template <int U, class S>
static inline void scores_of(const float* const* query, const S* keys, const S* next, int size, float* const* scores) {
    constexpr int AT_ONCE = LANES == 16 ? 4 : 2;
    for (int begin = 0; begin < PAGE; begin += AT_ONCE * LANES) {
        Vec sum[U][AT_ONCE] = {};
        for (int d = 0; d < size; ++d) {
            if (begin == 0) ask_for(next, d, PAGE * sizeof(S));
            for (int v = 0; v < AT_ONCE; ++v) {
                Vec key = load(keys + d * PAGE + begin + v * LANES);
                hold(key);
                for (int u = 0; u < U; ++u) sum[u][v] += query[u][d] * key;
            }
        }
        for (int u = 0; u < U; ++u)
            for (int v = 0; v < AT_ONCE; ++v) store(scores[u] + begin + v * LANES, sum[u][v]);
    }
}

// Adds probability times value to what was found before, V vectors of it.
template <int U, int V, class S>
static inline void add_part(const float* const* probs, const S* values, const S* next, int tokens, int size, float* const* found, int begin) {
    Vec sum[U][V];
    for (int u = 0; u < U; ++u)
        for (int v = 0; v < V; ++v) sum[u][v] = load(found[u] + begin + v * LANES);
    for (int w = 0; w < tokens; ++w) {
        if (begin == 0) ask_for(next, w, size * sizeof(S));
        for (int v = 0; v < V; ++v) {
            Vec value = load(values + w * size + begin + v * LANES);
            hold(value);
            for (int u = 0; u < U; ++u) sum[u][v] += probs[u][w] * value;
        }
    }
    for (int u = 0; u < U; ++u)
        for (int v = 0; v < V; ++v) store(found[u] + begin + v * LANES, sum[u][v]);
}

template <int U, class S>
static inline void add_values(const float* const* probs, const S* values, const S* next, int tokens, int size, float* const* found) {
    constexpr int MOST = LANES == 16 ? 4 : 2;
    int begin = 0;
    for (; begin + MOST * LANES <= size; begin += MOST * LANES) add_part<U, MOST>(probs, values, next, tokens, size, found, begin);
    for (; begin + 2 * LANES <= size; begin += 2 * LANES) add_part<U, 2>(probs, values, next, tokens, size, found, begin);
    for (; begin < size; begin += LANES) add_part<U, 1>(probs, values, next, tokens, size, found, begin);
}

// Scores become probabilities, but for the division, whose divisor is returned.
static inline float exponentials(float* scores, long begin, long seen, long room) {
    for (long t = 0; t < begin; ++t) scores[t] = -std::numeric_limits<float>::infinity();
    for (long t = seen; t < room; ++t) scores[t] = -std::numeric_limits<float>::infinity();
    Vec most = load(scores);
    for (long t = LANES; t < room; t += LANES) most = max(most, load(scores + t));
    const float top = max(most);
    Vec total{};
    for (long t = 0; t < room; t += LANES) {
        Vec p = exp(load(scores + t) - top);
        store(scores + t, p);
        total += p;
    }
    return sum(total);
}

// U queries of one key head, whose rows have the same holder and parent. The found [D] of each is
// complete when it returns. `room` floats of scratch belong to each query.
template <int U, class S>
static void attend(const Row* const* rows, const float* const* query, const S* keys, const S* values,
                   const Pages& pages, const Heads& heads, int head, float* scratch, long room, float* const* found) {
    float* scores[U];
    long last = 0;
    for (int u = 0; u < U; ++u) {
        scores[u] = scratch + u * room;
        last = rows[u]->position > last ? rows[u]->position : last;
        for (int d = 0; d < heads.size; ++d) found[u][d] = 0;
    }
    const Row& any = *rows[0];
    const long block = long(heads.keys) * heads.size * PAGE, own = long(head) * heads.size * PAGE;
    // A parent's last page may be part full; what stands behind it is skipped by its own count.
    const long parents = (any.parent_tokens + PAGE - 1) / PAGE;
    const long mine = (last - any.parent_tokens) / PAGE + 1;
    auto block_of = [&](long k) {
        const long at = k < parents ? any.parent * pages.longest + k : any.holder * pages.longest + k - parents;
        return pages.table[at] * block + own;
    };
    for (long k = 0; k < parents + mine; ++k) {
        float* into[U];
        for (int u = 0; u < U; ++u) into[u] = scores[u] + k * PAGE;
        const S* next = k + 1 < parents + mine ? keys + block_of(k + 1) : values + block_of(0);
        scores_of<U>(query, keys + block_of(k), next, heads.size, into);
    }
    const long gap = parents * PAGE - any.parent_tokens, all = (parents + mine) * PAGE;
    float divisor[U];
    for (int u = 0; u < U; ++u) {
        for (long t = any.parent_tokens; t < any.parent_tokens + gap; ++t)
            scores[u][t] = -std::numeric_limits<float>::infinity();
        const long seen = rows[u]->position + 1;
        long begin = heads.window && seen > heads.window ? seen - heads.window : 0;
        if (begin > any.parent_tokens) begin += gap;
        divisor[u] = exponentials(scores[u], begin, seen + gap, all);
    }
    for (long k = 0; k < parents + mine; ++k) {
        const long end = k < parents ? any.parent_tokens - k * PAGE : last + 1 - any.parent_tokens - (k - parents) * PAGE;
        const float* probs[U];
        for (int u = 0; u < U; ++u) probs[u] = scores[u] + k * PAGE;
        const S* next = values + block_of(k + 1 < parents + mine ? k + 1 : k);
        add_values<U>(probs, values + block_of(k), next, end < PAGE ? end : PAGE, heads.size, found);
    }
    for (int u = 0; u < U; ++u)
        for (int d = 0; d < heads.size; ++d) found[u][d] /= divisor[u];
}
