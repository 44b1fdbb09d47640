// The layers of a Llama-like model over new tokens, whose keys and values are kept in pages.
//
// X new tokens (rows), C hidden size, F inner size of the MLP, G key heads, H query heads, D numbers
// of a head. What flows from layer to layer is float32; T is what weights are held in, and the
// factors of their products with them; S what keys and values are kept in.
#include <omp.h>

#include <cmath>
#include <cstring>

#include "gemm.h"
#include "page_attention.h"

struct Weights {  // of one product; packed as gemm.h says
    const void* packed;
    const float* bias;  // or none
    int64_t outputs;
};

struct Layer {
    const float *norm_attention, *norm_mlp, *norm_query, *norm_key;  // the last two, or none
    Weights query_key_value, attention_out, gate_up, down;
    void *keys, *values;
};

struct Model {
    const Layer* layers;
    const void* embedding;       // [V, C], as the model holds it
    const float* norm;           // of the last hidden states
    const float *cosine, *sine;  // [positions, D]
    int64_t many_layers, hidden, inner;
    int32_t key_heads, query_heads, size, window;
    float epsilon, scale;
};

struct Scratch {
    float *residual, *projected, *scores;  // [X, C], [X, (H + 2 G) D], [threads, TOGETHER, room]
    void *factors, *inner;                 // [X, max(C, H D)], [X, F]
    int64_t room;
};

template <class T>
static inline void normalise(const float* x, const float* weight, long size, float epsilon, T* out) {
    Vec squares{};
    for (long c = 0; c < size; c += LANES) squares += load(x + c) * load(x + c);
    const float scale = 1 / std::sqrt(sum(squares) / size + epsilon);
    for (long c = 0; c < size; c += LANES) store(out + c, load(x + c) * scale * load(weight + c));
}

template <class T>
static void normalise_all(const float* x, const float* weight, long rows, const Model& m, T* out) {
#pragma omp for schedule(static)
    for (long r = 0; r < rows; ++r)
        normalise(x + r * m.hidden, weight, m.hidden, m.epsilon, out + r * m.hidden);
}

// Turned by its position, halves against each other as in GPT-NeoX and Llama.
static inline void turn(float* x, const float* cosine, const float* sine, int size) {
    for (int d = 0; d < size / 2; ++d) {
        const float a = x[d], b = x[d + size / 2];
        x[d] = a * cosine[d] - b * sine[d];
        x[d + size / 2] = b * cosine[d + size / 2] + a * sine[d + size / 2];
    }
}

static inline void place_heads(float* x, const float* norm, const float* cosine, const float* sine,
                               int many, float scale, const Model& m) {
    for (int h = 0; h < many; ++h, x += m.size) {
        if (norm) normalise(x, norm, m.size, m.epsilon, x);
        turn(x, cosine, sine, m.size);
        for (int d = 0; d < m.size; ++d) x[d] *= scale;
    }
}

// Numbers of a row's queries, keys and values.
static inline long width_of(const Model& m) { return (m.query_heads + 2 * m.key_heads) * m.size; }

// Queries and keys are turned, and the keys and values of the row's token kept.
template <class S>
static void keep(float* projected, const Row& row, const Layer& layer, const Pages& pages, const Model& m) {
    const float *cosine = m.cosine + long(row.position) * m.size, *sine = m.sine + long(row.position) * m.size;
    float *key = projected + m.query_heads * m.size, *value = key + m.key_heads * m.size;
    place_heads(projected, layer.norm_query, cosine, sine, m.query_heads, m.scale, m);
    place_heads(key, layer.norm_key, cosine, sine, m.key_heads, 1, m);
    int offset;
    const long block = long(m.key_heads) * m.size * PAGE, page = page_of(pages, row, row.position, &offset);
    S *keys = static_cast<S*>(layer.keys) + page * block, *values = static_cast<S*>(layer.values) + page * block;
    for (int g = 0; g < m.key_heads; ++g)
        for (int d = 0; d < m.size; ++d) {
            store1(keys + (g * m.size + d) * PAGE + offset, key[g * m.size + d]);
            store1(values + (g * PAGE + offset) * m.size + d, value[g * m.size + d]);
        }
}

// U queries of one row and key head, or of rows that follow one another in a prompt.
template <int U, class T, class S>
static void answer(const float* projected, const Row* rows, long first, int head, int query, int each, const Layer& layer,
                   const Pages& pages, const Model& m, float* scratch, long room, T* out) {
    const long width = width_of(m), outs = m.query_heads * m.size;
    const Heads heads{m.key_heads, m.query_heads / m.key_heads, m.size, m.window};
    float buffer[U][256], *found[U];
    const float* queries[U];
    const Row* whose[U];
    long at[U];
    for (int u = 0; u < U; ++u) {
        const long row = first + u / each, h = head * heads.queries + query + u % each;
        whose[u] = rows + row;
        queries[u] = projected + row * width + h * m.size;
        at[u] = row * outs + h * m.size;
        found[u] = buffer[u];
    }
    attend<U>(whose, queries, static_cast<const S*>(layer.keys), static_cast<const S*>(layer.values), pages, heads, head,
              scratch, room, found);
    for (int u = 0; u < U; ++u)
        for (int d = 0; d < m.size; d += LANES) store(out + at[u] + d, load(buffer[u] + d));
}

// All queries of one key head in rows [first, first + many), which follow one another in one holder.
template <class T, class S>
static void answer_rows(const float* projected, const Row* rows, long first, long many, int head, const Layer& layer,
                        const Pages& pages, const Model& m, float* scratch, long room, T* out) {
    const int queries = m.query_heads / m.key_heads;
    if (queries == 2 && many == 2)
        return answer<4, T, S>(projected, rows, first, head, 0, 2, layer, pages, m, scratch, room, out);
    if (queries == 1 && many == 4)
        return answer<4, T, S>(projected, rows, first, head, 0, 1, layer, pages, m, scratch, room, out);
    for (long row = first; row < first + many; ++row) {
        int q = 0;
        for (; q + 4 <= queries; q += 4) answer<4, T, S>(projected, rows, row, head, q, 4, layer, pages, m, scratch, room, out);
        for (; q + 2 <= queries; q += 2) answer<2, T, S>(projected, rows, row, head, q, 2, layer, pages, m, scratch, room, out);
        for (; q < queries; ++q) answer<1, T, S>(projected, rows, row, head, q, 1, layer, pages, m, scratch, room, out);
    }
}

static inline bool follows(const Row& next, const Row& row) {
    return next.holder == row.holder && next.position == row.position + 1;
}

template <class S>
static void keep_all(const Row* rows, long many, const Layer& layer, const Pages& pages, const Model& m, const Scratch& s) {
#pragma omp for schedule(static)
    for (long r = 0; r < many; ++r) keep<S>(s.projected + r * width_of(m), rows[r], layer, pages, m);
}

// What the last layer goes on with: its rows, and which of all rows they are, ascending.
struct Read {
    const int64_t* row;  // or none, where all are read
    const Row* rows;
    int64_t many;
};

static void move_up(const Read& read, const Model& m, const Scratch& s) {
#pragma omp single
    for (long r = 0; r < read.many; ++r) {
        std::memmove(s.residual + r * m.hidden, s.residual + read.row[r] * m.hidden, m.hidden * sizeof(float));
        std::memmove(s.projected + r * width_of(m), s.projected + read.row[r] * width_of(m), width_of(m) * sizeof(float));
    }
}

template <class T, class S>
static void attend_all(const Row* rows, long many, const Layer& layer, const Pages& pages, const Model& m, const Scratch& s) {
    const int queries = m.query_heads / m.key_heads, stride = queries == 1 ? 4 : queries == 2 ? 2 : 1;
    const long blocks = (many + stride - 1) / stride;
    float* scratch = s.scores + omp_get_thread_num() * TOGETHER * s.room;
#pragma omp for schedule(dynamic, 4)
    for (long task = 0; task < blocks * m.key_heads; ++task) {
        const long end = (task / m.key_heads + 1) * stride < many ? (task / m.key_heads + 1) * stride : many;
        for (long first = task / m.key_heads * stride, next; first < end; first = next) {
            for (next = first + 1; next < end && follows(rows[next], rows[next - 1]); ++next) {}
            answer_rows<T, S>(s.projected, rows, first, next - first, task % m.key_heads, layer, pages, m, scratch, s.room,
                              static_cast<T*>(s.factors));
        }
    }
}

template <class T>
static void project(const Weights& w, const T* a, long rows, long inputs, float* out) {
    product(a, rows, inputs, static_cast<const T*>(w.packed), w.outputs, [&](long row, long first, const Vec* sums) {
        for (int v = 0; v < VECTORS && first + v * LANES < w.outputs; ++v) {
            const long at = first + v * LANES;
            store(out + row * w.outputs + at, w.bias ? sums[v] + load(w.bias + at) : sums[v]);
        }
    });
}

template <class T>
static void add_projected(const Weights& w, const T* a, long rows, long inputs, float* residual) {
    product(a, rows, inputs, static_cast<const T*>(w.packed), w.outputs, [&](long row, long first, const Vec* sums) {
        for (int v = 0; v < VECTORS && first + v * LANES < w.outputs; ++v) {
            float* at = residual + row * w.outputs + first + v * LANES;
            store(at, load(at) + sums[v]);
        }
    });
}

// A tile's first half are gates, its second what they let through: silu(gate) up.
template <class T>
static void gated(const Weights& w, const T* a, long rows, long inputs, long inner, T* out) {
    product(a, rows, inputs, static_cast<const T*>(w.packed), w.outputs, [&](long row, long first, const Vec* sums) {
        for (int v = 0; v < VECTORS / 2 && first / 2 + v * LANES < inner; ++v) {
            const Vec gate = sums[v], up = sums[v + VECTORS / 2];
            store(out + row * inner + first / 2 + v * LANES, gate / (1 + exp(-gate)) * up);
        }
    });
}

template <class S>
static void embed(const Model& m, const Row* rows, long many, float* residual) {
#pragma omp for schedule(static)
    for (long r = 0; r < many; ++r)
        for (long c = 0; c < m.hidden; c += LANES)
            store(residual + r * m.hidden + c, load(static_cast<const S*>(m.embedding) + rows[r].token * m.hidden + c));
}

template <class T, class S>
static void run(const Model& m, const Pages& pages, const Row* rows, long many, const Read& read, const Scratch& s, float* out) {
    T *factors = static_cast<T*>(s.factors), *inner = static_cast<T*>(s.inner);
    embed<S>(m, rows, many, s.residual);
    for (long l = 0; l < m.many_layers; ++l) {
        const Layer& layer = m.layers[l];
        normalise_all(s.residual, layer.norm_attention, many, m, factors);
        project(layer.query_key_value, factors, many, m.hidden, s.projected);
        keep_all<S>(rows, many, layer, pages, m, s);
        if (read.row && l + 1 == m.many_layers) {
            move_up(read, m, s);
            rows = read.rows, many = read.many;
        }
        attend_all<T, S>(rows, many, layer, pages, m, s);
        add_projected(layer.attention_out, factors, many, m.query_heads * m.size, s.residual);
        normalise_all(s.residual, layer.norm_mlp, many, m, factors);
        gated(layer.gate_up, factors, many, m.hidden, m.inner, inner);
        add_projected(layer.down, inner, many, m.inner, s.residual);
    }
    normalise_all(s.residual, m.norm, many, m, out);
}

template <class T>
static void head(const Weights& w, const float* hidden, long rows, long inputs, T* factors, float* logits) {
#pragma omp for schedule(static)
    for (long r = 0; r < rows; ++r)
        for (long c = 0; c < inputs; c += LANES) store(factors + r * inputs + c, load(hidden + r * inputs + c));
    project(w, static_cast<const T*>(factors), rows, inputs, logits);
}

// What a product's factors are where weights are S.
template <class S>
struct Factor { typedef S type; };
#if !defined(__AVX512BF16__)
template <>
struct Factor<bf16> { typedef float type; };
#endif

#define EXPORTED(S, name)                                                                                            \
    extern "C" void decode_##name(const Model* model, const Pages* pages, const Row* rows, int64_t many,             \
                                  const int64_t* read, const Row* read_rows, int64_t many_read, const Scratch* s,    \
                                  float* out, int threads) {                                                         \
        _Pragma("omp parallel num_threads(threads)") run<Factor<S>::type, S>(*model, *pages, rows, many,             \
                                                                             {read, read_rows, many_read}, *s, out); \
    }                                                                                                                \
    extern "C" void logits_##name(const Weights* w, const float* hidden, int64_t rows, int64_t inputs, void* factors, \
                                  float* logits, int threads) {                                                      \
        _Pragma("omp parallel num_threads(threads)") head(*w, hidden, rows, inputs,                                  \
                                                          static_cast<Factor<S>::type*>(factors), logits);           \
    }                                                                                                                \
    extern "C" void pack_##name(const S* weights, int64_t outputs, int64_t inputs, int64_t first, int halves,        \
                                void* packed, int threads) {                                                         \
        pack(weights, outputs, inputs, first, halves, static_cast<Factor<S>::type*>(packed), threads);               \
    }                                                                                                                \
    extern "C" int64_t factor_bytes_##name() { return sizeof(Factor<S>::type); }
EXPORTED(float, float32)
EXPORTED(bf16, bfloat16)
extern "C" int64_t tile_outputs() { return TILE; }
