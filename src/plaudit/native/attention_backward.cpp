// The backward pass of attention over packed trees, by recomputation (Dao et al. 2022,
// "FlashAttention", algorithm 4). See attention.h for the shapes.
//
//     P = 2^(scale log2(e) q k - peak) / total      delta = sum over D of grad_out out
//     dV = P^T grad_out     dS = P (grad_out V^T - delta)     dQ = scale dS K     dK = scale dS^T Q
//
// A tree and a key head are one piece of work, so that what keys get from all branches is summed
// by one thread, in the order of the queries.

#include "attention.h"

namespace {

template <class U>
struct Space {
    typedef typename U::Word Word;
    const long columns, padded;
    Room<int32_t> position_Q{columns};
    Room<Word> row_QD{columns * padded}, query_DQ{columns * padded}, query_QD{columns * padded};
    Room<Word> grad_row_QD{columns * padded}, grad_DQ{columns * padded}, grad_QD{columns * padded};
    Room<Word> key_KD{KEYS * padded}, value_KD{KEYS * padded}, key_pair_KD{KEYS * padded};
    Room<float> peak_Q{columns}, share_Q{columns}, delta_Q{columns};
    Room<float> score_KQ{TILE * columns}, grad_weight_KQ{TILE * columns};
    Room<Word> weight_KQ{TILE * columns}, grad_score_KQ{KEYS * columns};
    Room<Word> grad_score_pair_KQ{U::STEPS == 1 ? 1 : KEYS * columns / 2};
    Room<float> grad_query_QD{columns * padded}, tile_KD{TILE * padded};
    Room<float> grad_key_XD, grad_value_XD;  // of a whole tree
    Space(long columns, long padded, long tokens)
        : columns(columns), padded(padded), grad_key_XD(tokens * padded),
          grad_value_XD(tokens * padded) {}
};

template <class T, class U>
struct Backward {
    typedef typename U::Word Word;
    Sizes sizes;
    float scale;
    Heads<const T> query, key, value, out, grad_out;
    Heads<T> grad_query, grad_key, grad_value;
    const float *peak_XH, *total_XH;

    // Paths [begin, end) are one tree.
    void tree(const Path* begin, const Path* end, long key_head, Space<U>& s) const {
        const long start = begin->trunk, tokens = (end - 1)->end() - start, size = sizes.padded();
        std::fill(s.grad_key_XD + 0, s.grad_key_XD + tokens * size, 0.f);
        std::fill(s.grad_value_XD + 0, s.grad_value_XD + tokens * size, 0.f);
        for (const Block& b : blocks_of(begin, end, tokens_of_block(sizes)))
            block(Queries(b, key_head, sizes, s.position_Q), s);
        for (long x = 0; x < tokens; ++x) {
            put(s.grad_key_XD + x * size, scale, grad_key.row(key_head, start + x));
            put(s.grad_value_XD + x * size, 1.f, grad_value.row(key_head, start + x));
        }
    }

    void put(const float* from, float factor, T* to) const {
        long d = 0;
        for (; d + LANES <= sizes.head_size; d += LANES) store(to + d, load(from + d) * factor);
        for (; d < sizes.head_size; ++d) store1(to + d, from[d] * factor);
    }

    void block(const Queries& q, Space<U>& s) const {
        const long size = sizes.padded();
        pack_queries(q, query, s.row_QD, s.query_DQ);
        pack_queries(q, grad_out, s.grad_row_QD, s.grad_DQ);
        const Word* query_QD = along_rows(U(), s.row_QD + 0, q.padded(), size, s.query_QD + 0);
        const Word* grad_QD = along_rows(U(), s.grad_row_QD + 0, q.padded(), size, s.grad_QD + 0);
        recall(q, s);
        std::fill(s.grad_query_QD + 0, s.grad_query_QD + q.padded() * size, 0.f);
        for (long begin = q.first_key(); begin < q.last; begin += KEYS)
            keys(q, begin, std::min(KEYS, q.last - begin), query_QD, grad_QD, s);
        for (long i = 0; i < q.count(); ++i)
            put(s.grad_query_QD + i * size, scale, grad_query.row(q.head_of(i), q.token(i)));
    }

    void pack_queries(const Queries& q, Heads<const T> from, Word* row_QD, Word* across_DQ) const {
        pack_rows<U>(sizes, q.count(), q.padded(),
            [&](long i) { return from.row(q.head_of(i), q.token(i)); }, row_QD);
        transpose(row_QD, q.padded(), sizes.padded() / U::STEPS, across_DQ, q.padded());
    }

    // What the forward pass knew of each query; columns that are none weigh nothing.
    void recall(const Queries& q, Space<U>& s) const {
        std::fill(s.peak_Q + 0, s.peak_Q + q.padded(), 0.f);
        std::fill(s.share_Q + 0, s.share_Q + q.padded(), 0.f);
        std::fill(s.delta_Q + 0, s.delta_Q + q.padded(), 0.f);
        for (long i = 0; i < q.count(); ++i) {
            const long head = q.head_of(i), token = q.token(i);
            s.peak_Q[i] = peak_XH[token * sizes.heads + head];
            s.share_Q[i] = 1.f / total_XH[token * sizes.heads + head];
            s.delta_Q[i] = dot(grad_out.row(head, token), out.row(head, token));
        }
    }

    float dot(const T* a, const T* b) const {
        Vec products{};
        long d = 0;
        for (; d + LANES <= sizes.head_size; d += LANES) products += load(a + d) * load(b + d);
        float total = sum(products);
        for (; d < sizes.head_size; ++d) total += load1(a + d) * load1(b + d);
        return total;
    }

    void keys(
        const Queries& q, long begin, long count, const Word* query_QD, const Word* grad_QD,
        Space<U>& s
    ) const {
        const long padded = rounded_up(count, TILE), size = sizes.padded();
        pack_rows<U>(sizes, count, padded,
            [&](long k) { return key.row(q.key_head(), q.path.token(begin + k)); }, s.key_KD);
        pack_rows<U>(sizes, count, padded,
            [&](long k) { return value.row(q.key_head(), q.path.token(begin + k)); }, s.value_KD);
        for (long k = 0; k < padded; k += TILE) {
            Run seen(q.vectors(), [&](long v) { return q.sees(v, begin + k); });
            scores(q, k, seen, s);
            for (long v = seen.begin; v < seen.end; ++v) weigh(q, begin, k, v, s);
            const long rows = std::min(long(TILE), count - k), at = begin + k;
            add_tile(q, s.weight_KQ, seen, grad_QD, at, rows, s.grad_value_XD, s);
            add_tile(q, s.grad_score_KQ + k * q.padded() / U::STEPS, seen, query_QD, at, rows,
                     s.grad_key_XD, s);
        }
        const Word* key_KD = along_rows(U(), s.key_KD + 0, padded, size, s.key_pair_KD + 0);
        for (long v = 0; v < q.vectors(); ++v)
            add_keys(q, v, Run(padded / TILE, [&](long t) { return q.sees(v, begin + t * TILE); }),
                     key_KD, s);
    }

    // Scores of a tile of keys, and the gradients of their weights.
    void scores(const Queries& q, long k, Run seen, Space<U>& s) const {
        const long width = sizes.padded() / U::STEPS, row = q.padded(), first = seen.begin * LANES;
        row_product<U>(s.key_KD + k * width, width, 1, s.query_DQ + first, row, width,
                       s.score_KQ + first, row, seen.end - seen.begin, false);
        row_product<U>(s.value_KD + k * width, width, 1, s.grad_DQ + first, row, width,
                       s.grad_weight_KQ + first, row, seen.end - seen.begin, false);
    }

    // Weights of a tile of keys for a vector of queries, and the gradients of their scores.
    void weigh(const Queries& q, long begin, long k, long v, Space<U>& s) const {
        const long row = q.padded(), at = v * LANES;
        const bool all = q.sees_all(v, begin + k);
        const Vec unit = splat(scale * LOG2_E), peak = load(s.peak_Q + at);
        const Vec share = load(s.share_Q + at), delta = load(s.delta_Q + at);
        Vec weight[TILE], grad[TILE];
#pragma GCC unroll 8
        for (int i = 0; i < TILE; ++i) {
            Vec score = load(s.score_KQ + i * row + at);
            if (!all) score = q.where_seen(v, begin + k + i, score, -INFINITY);
            weight[i] = exp2_below(score * unit - peak) * share;
            grad[i] = weight[i] * (load(s.grad_weight_KQ + i * row + at) - delta);
        }
        keep(U(), s, k, row, at, weight, grad);
    }

    static void keep(Single, Space<U>& s, long k, long row, long at, Vec* weight, Vec* grad) {
        for (int i = 0; i < TILE; ++i) {
            store(s.weight_KQ + i * row + at, weight[i]);
            store(s.grad_score_KQ + (k + i) * row + at, grad[i]);
        }
    }
    static const float* by_query(Single, Space<U>& s) { return s.grad_score_KQ; }
#if defined(__AVX512BF16__)
    static void keep(Paired, Space<U>& s, long k, long row, long at, Vec* weight, Vec* grad) {
        for (int i = 0; i < TILE; ++i) {
            store((bf16*)(s.weight_KQ + 0) + i * row + at, weight[i]);
            store((bf16*)(s.grad_score_KQ + 0) + (k + i) * row + at, grad[i]);
        }
        for (int i = 0; i < TILE; i += 2)
            store_pairs(s.grad_score_pair_KQ + (k + i) / 2 * row + at, grad[i], grad[i + 1]);
    }
    static const uint32_t* by_query(Paired, Space<U>& s) { return s.grad_score_pair_KQ; }
#endif

    // Adds tile[K, Q] right[Q, D] to the rows of the tokens that these keys are.
    void add_tile(
        const Queries& q, const Word* tile_KQ, Run seen, const Word* right_QD, long position,
        long rows, float* total_XD, Space<U>& s
    ) const {
        const long size = sizes.padded(), row = q.padded() / U::STEPS;
        const long first = seen.begin * LANES / U::STEPS;
        row_product<U>(tile_KQ + first, row, 1, right_QD + first * size, size,
                       (seen.end - seen.begin) * LANES / U::STEPS, s.tile_KD, size,
                       sizes.vectors(), false);
        for (long k = 0; k < rows; ++k) {
            float* to = total_XD + (q.path.token(position + k) - q.path.trunk) * size;
            for (long d = 0; d < size; d += LANES)
                store(to + d, load(to + d) + load(s.tile_KD + k * size + d));
        }
    }

    // Adds dS K to the gradients of a vector of queries.
    void add_keys(const Queries& q, long v, Run seen, const Word* key_KD, Space<U>& s) const {
        const long size = sizes.padded(), row = q.padded(), first = seen.begin * TILE / U::STEPS;
        for (long i = v * LANES; i < (v + 1) * LANES; i += TILE)
            row_product<U>(by_query(U(), s) + first * row + i, 1, row, key_KD + first * size, size,
                           (seen.end - seen.begin) * TILE / U::STEPS, s.grad_query_QD + i * size,
                           size, sizes.vectors(), true);
    }

    void run(const Path* begin, const Path* end, int threads) const {
        const std::vector<const Path*> trees = trees_of(begin, end);
        const long groups = sizes.key_heads, works = (trees.size() - 1) * groups;
        const long columns = rounded_up(tokens_of_block(sizes) * sizes.shared(), COLUMNS);
        long longest = 0;
        for (size_t t = 0; t + 1 < trees.size(); ++t)
            longest = std::max(longest, long((trees[t + 1] - 1)->end() - trees[t]->trunk));
#pragma omp parallel num_threads(threads)
        {
            Space<U> space(columns, sizes.padded(), longest);
#pragma omp for schedule(dynamic)
            for (long w = 0; w < works; ++w)
                tree(trees[w / groups], trees[w / groups + 1], w % groups, space);
        }
    }
};

template <class T, class U>
void run(
    const void* const* inputs, void* const* grads, const float* peak_XH, const float* total_XH,
    const int64_t* strides, const int64_t* paths, int64_t count, const Sizes& sizes, float scale,
    int threads
) {
    auto input = [&](int i) {
        return Heads<const T>{(const T*)inputs[i], strides[2 * i], strides[2 * i + 1]};
    };
    auto grad = [&](int i) {
        return Heads<T>{(T*)grads[i], strides[2 * i + 10], strides[2 * i + 11]};
    };
    const Path* begin = (const Path*)paths;
    Backward<T, U>{
        sizes, scale, input(0), input(1), input(2), input(3), input(4), grad(0), grad(1), grad(2),
        peak_XH, total_XH,
    }.run(begin, begin + count, threads);
}

}  // namespace

// inputs: query, key, value, out, grad_out. grads: of query, key, value. Strides of a head and of a
// token for each of the eight.
extern "C" void attention_backward(
    int is_bf16, const void* const* inputs, void* const* grads, const float* peak_XH,
    const float* total_XH, const int64_t* strides, const int64_t* paths, int64_t count,
    int64_t heads, int64_t key_heads, int64_t head_size, int64_t window, float scale, int threads
) {
    auto with = is_bf16 ? run<bf16, ForBf16> : run<float, Single>;
    with(inputs, grads, peak_XH, total_XH, strides, paths, count,
         {heads, key_heads, head_size, window}, scale, threads);
}
