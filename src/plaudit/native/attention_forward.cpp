// The forward pass of attention over packed trees: softmax block by block of keys, with a running
// maximum (Dao et al. 2022, "FlashAttention", algorithm 1). See attention.h for the shapes.
//
// Scores are held in units of ln 2: 2^(s - peak) is one instruction less than e^(s - peak).

#include "attention.h"

namespace {

constexpr float LEAST = -1e30f;  // a peak before the first score

template <class U>
struct Space {
    typedef typename U::Word Word;
    const long columns, padded;
    Room<int32_t> position_Q{columns};
    Room<Word> row_QD{columns * padded}, query_DQ{columns * padded};
    Room<Word> key_KD{KEYS * padded}, value_row_KD{KEYS * padded}, value_KD{KEYS * padded};
    Room<float> score_KQ{KEYS * columns}, out_QD{columns * padded};
    Room<Word> weight_KQ{U::STEPS == 1 ? 1 : KEYS / 2 * columns};
    Room<float> peak_Q{columns}, total_Q{columns}, factor_Q{columns};
    Space(long columns, long padded) : columns(columns), padded(padded) {}
};

template <class T, class U>
struct Forward {
    typedef typename U::Word Word;
    Sizes sizes;
    float scale;
    Heads<const T> query, key, value;
    Heads<T> out;
    float *peak_XH, *total_XH;

    void block(const Queries& q, Space<U>& s) const {
        const long width = sizes.padded() / U::STEPS;
        pack_rows<U>(sizes, q.count(), q.padded(),
            [&](long i) { return query.row(q.head_of(i), q.token(i)); }, s.row_QD);
        transpose(s.row_QD + 0, q.padded(), width, s.query_DQ + 0, q.padded());
        std::fill(s.peak_Q + 0, s.peak_Q + q.padded(), LEAST);
        std::fill(s.total_Q + 0, s.total_Q + q.padded(), 0.f);
        std::fill(s.out_QD + 0, s.out_QD + q.padded() * sizes.padded(), 0.f);
        for (long begin = q.first_key(); begin < q.last; begin += KEYS)
            keys(q, begin, std::min(KEYS, q.last - begin), s);
        finish(q, s);
    }

    void keys(const Queries& q, long begin, long count, Space<U>& s) const {
        const long padded = rounded_up(count, TILE), tiles = padded / TILE;
        const long width = sizes.padded() / U::STEPS, head = q.key_head();
        pack_rows<U>(sizes, count, padded,
            [&](long k) { return key.row(head, q.path.token(begin + k)); }, s.key_KD);
        pack_rows<U>(sizes, count, padded,
            [&](long k) { return value.row(head, q.path.token(begin + k)); }, s.value_row_KD);
        const Word* value_KD =
            along_rows(U(), s.value_row_KD + 0, padded, sizes.padded(), s.value_KD + 0);
        for (long t = 0; t < tiles; ++t) {
            Run seen(q.vectors(), [&](long v) { return q.sees(v, begin + t * TILE); });
            row_product<U>(
                s.key_KD + t * TILE * width, width, 1, s.query_DQ + seen.begin * LANES, q.padded(),
                width, s.score_KQ + t * TILE * q.padded() + seen.begin * LANES, q.padded(),
                seen.end - seen.begin, false
            );
        }
        for (long v = 0; v < q.vectors(); ++v) {
            Run seen(tiles, [&](long t) { return q.sees(v, begin + t * TILE); });
            if (seen.begin == seen.end) continue;
            softmax(q, v, begin, seen, s);
            add_values(v, seen, q.padded(), value_KD, s);
        }
    }

    // Scores of a vector of queries become weights, and what was summed so far is rescaled.
    void softmax(const Queries& q, long v, long begin, Run seen, Space<U>& s) const {
        const long row = q.padded();
        float* score = s.score_KQ + v * LANES;
        Vec most = splat(-INFINITY), old = load(s.peak_Q + v * LANES);
        for (long t = seen.begin; t < seen.end; ++t) {
            if (!q.sees_all(v, begin + t * TILE))
                for (long k = t * TILE; k < (t + 1) * TILE; ++k) {
                    Vec x = load(score + k * row);
                    store(score + k * row, q.where_seen(v, begin + k, x, -INFINITY));
                }
            for (long k = t * TILE; k < (t + 1) * TILE; ++k) most = max(load(score + k * row), most);
        }
        const Vec unit = splat(scale * LOG2_E), peak = max(most * unit, old);
        Vec total{};
        for (long k = seen.begin * TILE; k < seen.end * TILE; k += 2) {
            Vec a = exp2_below(load(score + k * row) * unit - peak);
            Vec b = exp2_below(load(score + (k + 1) * row) * unit - peak);
            total += a + b;
            put(U(), s, k, v, row, a, b);
        }
        Vec factor = exp2_below(old - peak);
        store(s.peak_Q + v * LANES, peak);
        store(s.factor_Q + v * LANES, factor);
        store(s.total_Q + v * LANES, load(s.total_Q + v * LANES) * factor + total);
    }

    static void put(Single, Space<U>& s, long k, long v, long row, Vec a, Vec b) {
        store(s.score_KQ + k * row + v * LANES, a);
        store(s.score_KQ + (k + 1) * row + v * LANES, b);
    }
    static const float* weights(Single, Space<U>& s) { return s.score_KQ; }
#if defined(__AVX512BF16__)
    static void put(Paired, Space<U>& s, long k, long v, long row, Vec a, Vec b) {
        store_pairs(s.weight_KQ + k / 2 * row + v * LANES, a, b);
    }
    static const uint32_t* weights(Paired, Space<U>& s) { return s.weight_KQ; }
#endif

    void add_values(long v, Run seen, long row, const Word* value_KD, Space<U>& s) const {
        const long size = sizes.padded(), first = seen.begin * TILE / U::STEPS;
        for (long q = v * LANES; q < (v + 1) * LANES; ++q)
            if (s.factor_Q[q] != 1.f)
                for (long d = 0; d < size; d += LANES)
                    store(s.out_QD + q * size + d, load(s.out_QD + q * size + d) * s.factor_Q[q]);
        for (long q = v * LANES; q < (v + 1) * LANES; q += TILE)
            row_product<U>(
                weights(U(), s) + first * row + q, 1, row, value_KD + first * size, size,
                (seen.end - seen.begin) * TILE / U::STEPS, s.out_QD + q * size, size,
                sizes.vectors(), true
            );
    }

    void finish(const Queries& q, Space<U>& s) const {
        for (long i = 0; i < q.count(); ++i) {
            const long head = q.head_of(i), token = q.token(i);
            const float share = 1.f / s.total_Q[i], *from = s.out_QD + i * sizes.padded();
            T* to = out.row(head, token);
            long d = 0;
            for (; d + LANES <= sizes.head_size; d += LANES) store(to + d, load(from + d) * share);
            for (; d < sizes.head_size; ++d) store1(to + d, from[d] * share);
            peak_XH[token * sizes.heads + head] = s.peak_Q[i];
            total_XH[token * sizes.heads + head] = s.total_Q[i];
        }
    }

    void run(const Path* begin, const Path* end, int threads) const {
        const long tokens = tokens_of_block(sizes), groups = sizes.key_heads;
        const std::vector<Block> blocks = blocks_of(begin, end, tokens);
        const long works = blocks.size() * groups;
#pragma omp parallel num_threads(threads)
        {
            Space<U> space(rounded_up(tokens * sizes.shared(), COLUMNS), sizes.padded());
#pragma omp for schedule(dynamic)
            for (long w = 0; w < works; ++w)
                block(Queries(blocks[w / groups], w % groups, sizes, space.position_Q), space);
        }
    }
};

template <class T, class U>
void run(
    const void* const* inputs, void* out, float* peak_XH, float* total_XH, const int64_t* strides,
    const int64_t* paths, int64_t count, const Sizes& sizes, float scale, int threads
) {
    auto input = [&](int i) {
        return Heads<const T>{(const T*)inputs[i], strides[2 * i], strides[2 * i + 1]};
    };
    const Path* begin = (const Path*)paths;
    Forward<T, U>{
        sizes, scale, input(0), input(1), input(2), {(T*)out, strides[6], strides[7]},
        peak_XH, total_XH,
    }.run(begin, begin + count, threads);
}

}  // namespace

// inputs: query, key, value. Strides of a head and of a token for each of them and for the output.
extern "C" void attention_forward(
    int is_bf16, const void* const* inputs, void* out, float* peak_XH, float* total_XH,
    const int64_t* strides, const int64_t* paths, int64_t count, int64_t heads, int64_t key_heads,
    int64_t head_size, int64_t window, float scale, int threads
) {
    auto with = is_bf16 ? run<bf16, ForBf16> : run<float, Single>;
    with(inputs, out, peak_XH, total_XH, strides, paths, count,
         {heads, key_heads, head_size, window}, scale, threads);
}
