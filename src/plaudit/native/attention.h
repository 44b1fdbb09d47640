// Attention over packed trees: what the forward and the backward pass share.
//
// A tree is a path for each of its branches: the trunk, then the branch. On a path attention is
// plainly causal, so a token's place is its position, and only packing knows where it lies in the
// row. The queries of the trunk belong to the first path.
//
// Queries are taken in blocks, keys in blocks of KEYS, and scores are held with keys as rows and
// queries as columns: softmax is then arithmetic on whole vectors of queries. A column is a token
// and one of the R query heads that share a key head, so that keys are packed once for all R.
//
// Shapes: X tokens of the row, H query heads, G key heads, D head size, R = H / G; Q columns of a
// block of queries, K keys of a block.
#pragma once

#include <algorithm>
#include <cmath>
#include <new>
#include <vector>

#include "tiles.h"

namespace {  // its names are free in other kernels of the library

constexpr long QUERIES = 128;  // columns of a block, unless one token has more heads
constexpr long KEYS = 256;     // of a block
constexpr long COLUMNS = LANES > TILE ? LANES : TILE;  // a block has a multiple of these
constexpr float LOG2_E = 1.44269504088896341f;

struct Sizes {
    int64_t heads, key_heads, head_size;
    int64_t window;  // 0: none
    long shared() const { return heads / key_heads; }
    long padded() const { return rounded_up(head_size, LANES); }
    long vectors() const { return padded() / LANES; }
};

struct Path {
    int64_t trunk, prompt_tokens;  // where the trunk starts
    int64_t branch;                // where the branch starts
    int64_t first, last;           // positions of the queries that are this path's
    long token(long position) const {
        return position < prompt_tokens ? trunk + position : branch + position - prompt_tokens;
    }
    long end() const { return branch + last - prompt_tokens; }
};

// Queries of a path that are taken together.
struct Block {
    const Path* path;
    long first, last;
};

static inline std::vector<Block> blocks_of(const Path* begin, const Path* end, long tokens) {
    std::vector<Block> blocks;
    for (const Path* p = begin; p < end; ++p)
        for (long at = p->first; at < p->last; at += tokens)
            blocks.push_back({p, at, std::min(at + tokens, long(p->last))});
    return blocks;
}

// Where each tree's paths begin, and where the last one's end.
static inline std::vector<const Path*> trees_of(const Path* begin, const Path* end) {
    std::vector<const Path*> trees;
    for (const Path* p = begin; p < end; ++p)
        if (p == begin || p->trunk != p[-1].trunk) trees.push_back(p);
    trees.push_back(end);
    return trees;
}

static inline long tokens_of_block(const Sizes& sizes) {
    return std::max(1L, QUERIES / sizes.shared());
}

// A tensor [heads, X, D] whose last dimension is dense.
template <class T>
struct Heads {
    T* data;
    int64_t head_stride, token_stride;
    T* row(long head, long token) const { return data + head * head_stride + token * token_stride; }
};

// Room for numbers that starts on a cache line.
template <class N>
struct Room {
    explicit Room(long count) : data(new (std::align_val_t(64)) N[count]) {}
    ~Room() { operator delete[](data, std::align_val_t(64)); }
    Room(const Room&) = delete;
    Room& operator=(const Room&) = delete;
    operator N*() const { return data; }
    N* data;
};

// A block of queries: the tokens at positions [first, last) of a path, with R heads each.
struct Queries {
    const Path& path;
    long first, last, head, shared, window;
    int32_t* position_Q;

    Queries(const Block& b, long key_head, const Sizes& s, int32_t* position_Q)
        : path(*b.path), first(b.first), last(b.last), head(key_head * s.shared()),
          shared(s.shared()), window(s.window), position_Q(position_Q) {
        for (long q = 0; q < padded(); ++q) position_Q[q] = std::min(first + q / shared, last - 1);
    }
    long count() const { return (last - first) * shared; }
    long padded() const { return rounded_up(count(), COLUMNS); }
    long vectors() const { return padded() / LANES; }
    long token(long q) const { return path.token(position_Q[q]); }
    long head_of(long q) const { return head + q % shared; }
    long key_head() const { return head / shared; }
    long first_key() const { return window ? std::max(0L, first - window + 1) : 0; }
    long earliest(long v) const { return position_Q[v * LANES]; }
    long latest(long v) const { return position_Q[v * LANES + LANES - 1]; }
    // Whether any query of a vector may see any key of a tile, or all of them see all.
    bool sees(long v, long key) const {
        return key <= latest(v) && (!window || key + TILE - 1 > earliest(v) - window);
    }
    bool sees_all(long v, long key) const {
        return key + TILE - 1 <= earliest(v) && (!window || key > latest(v) - window);
    }
    // `otherwise` for those queries of a vector that may not see the key.
    Vec where_seen(long v, long key, Vec x, float otherwise) const {
        IntVec at;
        std::memcpy(&at, position_Q + v * LANES, sizeof at);
        IntVec distance = at - int32_t(key);
        IntVec hidden = distance < 0;
        if (window) hidden |= distance >= int32_t(window);
        return hidden ? splat(otherwise) : x;
    }
};

// The run of those vectors, or tiles, of `count` for which `holds`, which is one run.
struct Run {
    long begin, end;
    template <class Holds>
    Run(long count, Holds holds) : begin(0), end(count) {
        while (begin < end && !holds(begin)) ++begin;
        while (end > begin && !holds(end - 1)) --end;
    }
};

// Rows of D numbers as words, row(i) for each i, then zeros up to `padded` rows.
template <class U, class Row>
static inline void pack_rows(
    const Sizes& sizes, long count, long padded, Row row, typename U::Word* words
) {
    const long width = sizes.padded() / U::STEPS;
    for (long i = 0; i < count; ++i)
        pack_row(U(), row(i), sizes.head_size, sizes.padded(), words + i * width);
    std::fill(words + count * width, words + padded * width, typename U::Word(0));
}

}  // namespace
