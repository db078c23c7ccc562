// The products of dense layers of one task, by all threads of a block: a thread has 4x4 outputs at a time. dense.rs says why so.

// Threads of a block, and blocks that registers leave room for on a multiprocessor: 128 registers for each thread.
#define THREADS 256
#ifdef SINEW_SHIM
#define RESIDENT THREADS
#else
#define RESIDENT THREADS, 2
#endif
#define INLINE __device__ __forceinline__

// The products of a layer: x W^T, dz W, dz^T x.
enum { SUMS, INPUTS, WEIGHTS, PRODUCTS };
// Words of the map of a product: one for each lane, and 4 for all.
enum { MAP = 36 };
// No layer, no factor.
enum : u32 { NONE = 0xffffffffu };

// How rows lie: 4 of them in a panel, which has 4x16 values side by side, row after row, then the next 16 columns. So the 4 rows of a
// tile are 64 bytes apart, whatever array it is of. `along` is where 4 columns begin.
INLINE u32 along(u32 column) { return (column >> 2) * 64 + (column & 3) * 4; }
INLINE u32 place(u32 row, u32 column, u32 panel) {
    return (row >> 2) * panel + (row & 3) * 16 + (column >> 4) * 64 + (column & 15);
}

INLINE float4 load(const float* at) { return *reinterpret_cast<const float4*>(at); }
INLINE void store(float* at, float4 value) { *reinterpret_cast<float4*>(at) = value; }
INLINE void load(const float* at, float (&v)[4]) {
    const float4 f = load(at);
    v[0] = f.x, v[1] = f.y, v[2] = f.z, v[3] = f.w;
}
INLINE void store(float* at, const float (&v)[4]) { store(at, make_float4(v[0], v[1], v[2], v[3])); }

INLINE bool has(u32 set, u32 layer) { return set >> layer & 1; }

// Whole float4s.
INLINE void copy(float* to, const float* from, u32 words) {
    for (u32 i = 4 * threadIdx.x; i < words; i += 4 * THREADS) store(to + i, load(from + i));
}

// The bits that numbers below `count` have.
INLINE u32 bits_of(u32 count) {
    u32 bits = 0;
    while (bits < 31 && (1u << bits) < count) bits++;
    return bits;
}

// Who does what in a product of `down` x `across` tiles over `chunks` of 4 (dense.rs says why so). For a lane: its row and column of
// tiles among those of its warp, and its part of the depth. For all: how to divide by the warps that lie side by side, how many these
// are, and all warps; then bits of rows, columns and parts of a warp, and which bits of a lane those of the part are: the first, the
// second, all others.
INLINE u32 map_of(u32 product, u32 down, u32 across, u32 chunks, u32 word) {
    const u32 lane = word;
    const u32 tiles = down * across;
    // A sum over 4 lanes at least leaves one row of a tile to a lane, which is all that these epilogues know.
    u32 depth = product == WEIGHTS ? 0 : 2;
    if (depth == 0 && 2 * tiles <= THREADS) depth = 2;
    while (depth >= 2 && depth < 5 && (tiles << (depth + 1)) <= THREADS && (1u << depth) < chunks) depth++;
    // Half of the other bits to columns and half to rows, as far as there are such tiles.
    const u32 left = 5 - depth;
    u32 columns = min(bits_of(across), left - left / 2);
    const u32 rows = min(bits_of(down), left - columns);
    columns = left - rows;
    u32 c = columns, r = rows, d = depth;
    u32 row = 0, column = 0, part = 0, mask = 0;
    enum { COLUMN, ROW, PART };
    for (u32 bit = 0; bit < 5; bit++) {
        const u32 value = lane >> bit & 1;
        u32 which;
        if (bit == 0) which = c ? COLUMN : r ? ROW : PART;
        else if (bit == 1) which = r ? ROW : d ? PART : COLUMN;
        else if (bit == 2 || (bit == 3 && product == SUMS)) which = d ? PART : c ? COLUMN : ROW;
        else if (bit == 3 && depth == 0) which = r ? ROW : COLUMN;
        else which = c ? COLUMN : d ? PART : ROW;
        if (which == COLUMN) column |= value << (columns - c--);
        else if (which == ROW) row |= value << (rows - r--);
        else part |= value << (depth - d--), mask |= 1u << bit;
    }
    const u32 warps = (across + (1u << columns) - 1) >> columns;
    const u32 first = mask & (0u - mask), others = mask ^ first, second = others & (0u - others);
    switch (word) {
        case 32: return warps > 1 ? 0xffffffffu / warps + 1 : 0;
        case 33: return warps;
        case 34: return warps * ((down + (1u << rows) - 1) >> rows);
        case 35: return rows | columns << 3 | depth << 6 | first << 9 | second << 14 | (others ^ second) << 19;
        default: return row | column << 5 | part << 10;
    }
}

// The two factors of a product, in the arena, and the words of their panels; NONE where there is no product.
struct Factors {
    u32 a, a_panel, b, b_panel;
};

#define NOTHING Factors{NONE, 0, 0, 0}

// sum += A B over chunks of the depth, a 4x4 tile. A factor lies along the depth, or along the tile.
template <bool A_DEEP, bool B_DEEP>
INLINE void multiply(float (&sum)[4][4], const float* arena, const Factors& f, u32 row, u32 column, u32 from, u32 by, u32 chunks) {
    const float* a = arena + f.a + (A_DEEP ? row * f.a_panel + along(from) : from * f.a_panel + along(row));
    const float* b = arena + f.b + (B_DEEP ? column * f.b_panel + along(from) : from * f.b_panel + along(column));
    // Along the depth there are 4 lanes at least.
    const u32 a_step = by * (A_DEEP ? 16 : f.a_panel), b_step = by * (B_DEEP ? 16 : f.b_panel);
#pragma unroll 1
    for (u32 chunk = from; chunk < chunks; chunk += by) {
        float x[4][4], y[4][4];
#pragma unroll
        for (u32 i = 0; i < 4; i++) load(a + 16 * i, x[i]);
#pragma unroll
        for (u32 i = 0; i < 4; i++) load(b + 16 * i, y[i]);
#pragma unroll
        for (u32 k = 0; k < 4; k++) {
#pragma unroll
            for (u32 m = 0; m < 4; m++) {
#pragma unroll
                for (u32 n = 0; n < 4; n++) {
                    sum[m][n] += (A_DEEP ? x[m][k] : x[k][m]) * (B_DEEP ? y[n][k] : y[k][n]);
                }
            }
        }
        a += a_step;
        b += b_step;
    }
}

// From the sums of the parts to the whole sum of one row of the tile, in sum[0]: with each of the first two bits a lane gives half of
// what it has for the other half, then all lanes have the same. Returns the row.
INLINE u32 gather(float (&sum)[4][4], u32 first, u32 second, u32 others) {
    const bool low = threadIdx.x & first, high = threadIdx.x & second;
#pragma unroll
    for (u32 m = 0; m < 2; m++) {
#pragma unroll
        for (u32 n = 0; n < 4; n++) {
            const float give = low ? sum[m][n] : sum[m + 2][n], keep = low ? sum[m + 2][n] : sum[m][n];
            sum[m][n] = keep + __shfl_xor_sync(0xffffffffu, give, first);
        }
    }
#pragma unroll
    for (u32 n = 0; n < 4; n++) {
        const float give = high ? sum[0][n] : sum[1][n], keep = high ? sum[1][n] : sum[0][n];
        sum[0][n] = keep + __shfl_xor_sync(0xffffffffu, give, second);
    }
#pragma unroll 1
    while (others) {
        const u32 bit = others & (0u - others);
        others ^= bit;
#pragma unroll
        for (u32 n = 0; n < 4; n++) sum[0][n] += __shfl_xor_sync(0xffffffffu, sum[0][n], bit);
    }
    return 2 * low + high;
}

// out(row, m, column, values) for each row m of each tile of factor * (A B of `first`) + (A B of `second`); either may be missing.
template <bool A_DEEP, bool B_DEEP, bool WHOLE, class Out>
INLINE void product(const u32* map, const float* arena, u32 down, u32 across, u32 chunks, Factors first, float factor,
    Factors second, const Out& out) {
    const u32 own = map[threadIdx.x % 32], inverse = map[32], warps_across = map[33], warps = map[34], bits = map[35];
    const u32 rows = bits & 7, columns = bits >> 3 & 7, depth = bits >> 6 & 7;
#pragma unroll 1
    for (u32 warp = threadIdx.x / 32; warp < warps; warp += THREADS / 32) {
        const u32 above = inverse ? u32(u64(warp) * inverse >> 32) : warp;
        const u32 row = (above << rows) + (own & 31), column = ((warp - above * warps_across) << columns) + (own >> 5 & 31);
        const bool inside = row < down && column < across;
        float sum[4][4];
#pragma unroll
        for (u32 m = 0; m < 4; m++) {
#pragma unroll
            for (u32 n = 0; n < 4; n++) sum[m][n] = 0.0f;
        }
#pragma unroll 1
        for (u32 pair = first.a != NONE ? 0 : 1; pair < 2; pair++) {
            const Factors f = pair == 0 ? first : second;
            if (inside && f.a != NONE) multiply<A_DEEP, B_DEEP>(sum, arena, f, row, column, own >> 10, 1u << depth, chunks);
            if (pair == 0) {
#pragma unroll
                for (u32 m = 0; m < 4; m++) {
#pragma unroll
                    for (u32 n = 0; n < 4; n++) sum[m][n] *= factor;
                }
            }
        }
        if (WHOLE && depth == 0) {
            if (inside) {
#pragma unroll
                for (u32 m = 0; m < 4; m++) out(row, m, column, sum[m]);
            }
        } else {
            const u32 others = bits >> 19;
            const u32 m = gather(sum, bits >> 9 & 31, bits >> 14 & 31, others);
            // Of lanes that have the same, the first.
            if (inside && (threadIdx.x & others) == 0) out(row, m, column, sum[0]);
        }
    }
}
