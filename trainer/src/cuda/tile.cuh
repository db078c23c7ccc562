// The products of dense layers of one task, by all threads of a block: a thread has two tiles of 4x4 outputs at a time. dense.rs says
// why so.

// Threads of a block, a multiple of 4 warps, and blocks that registers leave room for on a multiprocessor: 168 registers for each thread.
#define THREADS 128
#define WARPS (THREADS / 32)
#ifdef SINEW_SHIM
#define RESIDENT THREADS
#else
#define RESIDENT THREADS, 3
#endif
#define INLINE __device__ __forceinline__

// The products of a layer: x W^T, dz W, dz^T x.
enum { SUMS, INPUTS, WEIGHTS, PRODUCTS };
// Words of the map of a product: one for each lane, and 8 for all.
enum { MAP = 40 };
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

// Whole float4s: four of each thread are on their way together.
INLINE void copy(float* to, const float* from, u32 words) {
    u32 i = 4 * threadIdx.x;
#pragma unroll 1
    for (; i + 12 * THREADS < words; i += 16 * THREADS) {
        float4 v[4];
#pragma unroll
        for (u32 k = 0; k < 4; k++) v[k] = load(from + i + 4 * THREADS * k);
#pragma unroll
        for (u32 k = 0; k < 4; k++) store(to + i + 4 * THREADS * k, v[k]);
    }
#pragma unroll 1
    for (; i < words; i += 4 * THREADS) store(to + i, load(from + i));
}

// The bits that numbers below `count` have.
INLINE u32 bits_of(u32 count) {
    u32 bits = 0;
    while (bits < 31 && (1u << bits) < count) bits++;
    return bits;
}

// Who does what in a product of `down` x `across` pairs of tiles over `chunks` of 4 (dense.rs says why so). For a lane: its row and column of
// tiles among those of its warp, and its part of the depth. For all: how to divide by the warps that lie side by side, how many these
// are, and all warps; bits of rows, columns and parts of a warp; which bits of a lane those of the part are: the first, the second, all
// others.
INLINE u32 map_of(u32 product, u32 down, u32 across, u32 chunks, u32 word) {
    const u32 lane = word;
    const u32 tiles = down * across;
    // A sum over 4 lanes at least leaves two rows of one tile to a lane, which is all that these epilogues know.
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
        case 35: return rows | columns << 8 | depth << 16;
        case 36: return first;
        case 37: return second;
        case 38: return others ^ second;
        case 39: return 0;
        default: return row | column << 8 | part << 16;
    }
}

// The two factors of a product, in the arena, and the words of their panels; NONE where there is no product.
struct Factors {
    u32 a, a_panel, b, b_panel;
};

#define NOTHING Factors{NONE, 0, 0, 0}

// sum += A B over chunks of the depth, for the 4x4 tiles at two rows of tiles and one column. A factor lies along the depth, or along the tile.
template <bool A_DEEP, bool B_DEEP>
INLINE void multiply(float (&sum)[2][4][4], const float* arena, const Factors& f, const u32 (&rows)[2], u32 column, u32 from, u32 by,
    u32 chunks) {
    const float* a = arena + f.a + (A_DEEP ? rows[0] * f.a_panel + along(from) : from * f.a_panel + along(rows[0]));
    const float* c = arena + f.a + (A_DEEP ? rows[1] * f.a_panel + along(from) : from * f.a_panel + along(rows[1]));
    const float* b = arena + f.b + (B_DEEP ? column * f.b_panel + along(from) : from * f.b_panel + along(column));
    u32 chunk = from;
    // Along the depth there are 4 lanes at least.
    const u32 a_step = by * (A_DEEP ? 16 : f.a_panel), b_step = by * (B_DEEP ? 16 : f.b_panel);
    // Once at least: where a branch could go round the loop, the compiler sets the sums to zero on both its ways.
#pragma unroll 1
    do {
        float x[2][4][4], y[4][4];
#pragma unroll
        for (u32 i = 0; i < 4; i++) load(a + 16 * i, x[0][i]);
#pragma unroll
        for (u32 i = 0; i < 4; i++) load(b + 16 * i, y[i]);
#pragma unroll
        for (u32 i = 0; i < 4; i++) load(c + 16 * i, x[1][i]);
#pragma unroll
        for (u32 half = 0; half < 2; half++) {
#pragma unroll
            for (u32 k = 0; k < 4; k++) {
#pragma unroll
                for (u32 m = 0; m < 4; m++) {
#pragma unroll
                    for (u32 n = 0; n < 4; n++) {
                        sum[half][m][n] += (A_DEEP ? x[half][m][k] : x[half][k][m]) * (B_DEEP ? y[n][k] : y[k][n]);
                    }
                }
            }
        }
        a += a_step;
        c += a_step;
        b += b_step;
        chunk += by;
    } while (chunk < chunks);
}

// From the sums of the parts to the whole sums of two rows of a tile, in sum[0][0] and sum[0][1]: with the first bit a lane gives the tile
// that it has second, with the next half of what is left for the other half, then all lanes have the same. Returns the first row.
INLINE u32 gather(float (&sum)[2][4][4], u32 first, u32 second, u32 others) {
    const bool high = threadIdx.x & second;
#pragma unroll
    for (u32 m = 0; m < 4; m++) {
#pragma unroll
        for (u32 n = 0; n < 4; n++) sum[0][m][n] += __shfl_xor_sync(0xffffffffu, sum[1][m][n], first);
    }
#pragma unroll
    for (u32 m = 0; m < 2; m++) {
#pragma unroll
        for (u32 n = 0; n < 4; n++) {
            const float give = high ? sum[0][m][n] : sum[0][m + 2][n], keep = high ? sum[0][m + 2][n] : sum[0][m][n];
            sum[0][m][n] = keep + __shfl_xor_sync(0xffffffffu, give, second);
        }
    }
#pragma unroll 1
    while (others) {
        const u32 bit = others & (0u - others);
        others ^= bit;
#pragma unroll
        for (u32 m = 0; m < 2; m++) {
#pragma unroll
            for (u32 n = 0; n < 4; n++) sum[0][m][n] += __shfl_xor_sync(0xffffffffu, sum[0][m][n], bit);
        }
    }
    return 2 * high;
}

// Rows of tiles, two of which a thread takes at once: this one, and the one so many further on.
INLINE u32 pairs(u32 down) { return (down + 1) / 2; }

// out(row, m, column, values) for each row m of each tile of factor * (A B of `first`) + (A B of `second`); one of them may be missing.
template <bool A_DEEP, bool B_DEEP, bool WHOLE, class Out>
INLINE void product(const u32* map, const float* arena, u32 down, u32 across, u32 chunks, Factors first, float factor,
    Factors second, const Out& out) {
    const uint4 all = *reinterpret_cast<const uint4*>(map + 32);
    const u32 own = map[threadIdx.x % 32], inverse = all.x, warps_across = all.y, warps = all.z, bits = all.w;
    const u32 depth = bits >> 16, half = pairs(down), part = own >> 16;
    // A lane that keeps the second tile takes it first.
    const bool swaps = threadIdx.x & map[36];
#pragma unroll 1
    for (u32 warp = threadIdx.x / 32; warp < warps; warp += WARPS) {
        const u32 above = inverse ? u32(u64(warp) * inverse >> 32) : warp;
        u32 row = (above << (bits & 255)) + (own & 255);
        u32 column = ((warp - above * warps_across) << (bits >> 8 & 255)) + (own >> 8 & 255);
        const bool inside = row < half && column < across;
        // A lane that has nothing to do does what the first does, and nobody sees it.
        if (!inside) row = column = 0;
        const bool both = row + half < down;
        // Of one row alone the other is as good as none.
        const u32 other = both ? row + half : row;
        const u32 rows[2] = {swaps ? other : row, swaps ? row : other};
        float sum[2][4][4];
#pragma unroll
        for (u32 m = 0; m < 8; m++) {
#pragma unroll
            for (u32 n = 0; n < 4; n++) sum[m / 4][m % 4][n] = 0.0f;
        }
        u32 pair = first.a != NONE ? 0 : 1;
        const u32 end = second.a != NONE ? 2 : 1;
#pragma unroll 1
        do {
            const Factors f = pair == 0 ? first : second;
            multiply<A_DEEP, B_DEEP>(sum, arena, f, rows, column, part < chunks ? part : 0, 1u << depth, chunks);
            if (pair == 0 && factor != 1.0f) {
#pragma unroll
                for (u32 m = 0; m < 8; m++) {
#pragma unroll
                    for (u32 n = 0; n < 4; n++) sum[m / 4][m % 4][n] *= factor;
                }
            }
        } while (++pair < end);
        // More parts than chunks, or no chunk at all: what there was to read is not part of the sum.
        if (chunks >> depth == 0) {
#pragma unroll
            for (u32 m = 0; m < 8; m++) {
#pragma unroll
                for (u32 n = 0; n < 4; n++) sum[m / 4][m % 4][n] = part < chunks ? sum[m / 4][m % 4][n] : 0.0f;
            }
        }
        if (WHOLE && depth == 0) {
            if (inside) {
#pragma unroll
                for (u32 m = 0; m < 4; m++) out(row, m, column, sum[0][m]);
                if (both) {
#pragma unroll
                    for (u32 m = 0; m < 4; m++) out(other, m, column, sum[1][m]);
                }
            }
        } else {
            const u32 others = map[38];
            const u32 m = gather(sum, map[36], map[37], others);
            // Of lanes that have the same, the first.
            if (inside && (both || !swaps) && (threadIdx.x & others) == 0) {
                out(rows[0], m, column, sum[0][0]);
                out(rows[0], m + 1, column, sum[0][1]);
            }
        }
    }
}
