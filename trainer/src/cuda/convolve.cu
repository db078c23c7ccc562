#include "sinew.cuh"
#include "window.cuh"

// Convolutions, and dense layers as convolutions of one pixel: the sum of a layer, the gradients at its input and at its weights, and the
// derivatives of all three along a direction, which are sums of two such products.
//
// Each is a product of two matrices that are never written down (an implicit GEMM): a block makes a tile of 64 x 32 sums of one task, from
// chunks of 16 of the depth in shared memory; a thread makes 4 x 4 of them in registers. Images are `[rows, height, width, channels]`,
// weights `[outputs, channels, lines, columns]`, their biases behind them.

constexpr u32 THREADS = 128, TILE_M = 64, TILE_N = 32, TILE_K = 16;
// Rows of a chunk are further apart than they are long, so that their columns do not meet in one bank.
constexpr u32 ROW_M = TILE_M + 4, ROW_N = TILE_N + 4;

// The chunks of both matrices, `[depth, m]` and `[depth, n]`.
struct alignas(16) Chunks {
    float a[TILE_K][ROW_M], b[TILE_K][ROW_N];
};

// Adds the product of the chunks to the sums of this thread.
__device__ inline void multiply(const Chunks& chunks, float (&sums)[4][4]) {
    const u32 m = threadIdx.x / 8 * 4, n = threadIdx.x % 8 * 4;
#pragma unroll
    for (u32 k = 0; k < TILE_K; k++) {
        const float4 a4 = *reinterpret_cast<const float4*>(&chunks.a[k][m]);
        const float4 b4 = *reinterpret_cast<const float4*>(&chunks.b[k][n]);
        const float a[4] = {a4.x, a4.y, a4.z, a4.w}, b[4] = {b4.x, b4.y, b4.z, b4.w};
#pragma unroll
        for (u32 i = 0; i < 4; i++)
#pragma unroll
            for (u32 j = 0; j < 4; j++) sums[i][j] = fmaf(a[i], b[j], sums[i][j]);
    }
}

__device__ inline void put(float4 from, float* to) { to[0] = from.x, to[1] = from.y, to[2] = from.z, to[3] = from.w; }
__device__ inline float4 four(const float* from) { return *reinterpret_cast<const float4*>(from); }
__device__ inline bool is_aligned(const float* at) { return (reinterpret_cast<u64>(at) & 15) == 0; }

// What the windows of pixels see, `[depth]` = `[lines, columns, channels of from]`. On the way back `from` is the gradient behind the
// convolution, and what a pixel sees are the places from which it was seen.
template <bool BACK>
struct Windows {
    const Geometry& g;
    // The rows of the task, and how many.
    const float* from;
    u32 rows;
    __device__ u32 channels() const { return BACK ? g.outputs : g.channels; }
    __device__ u32 pixels() const { return BACK ? g.in_pixels() : g.out_pixels(); }
    __device__ u32 depth() const { return g.window() * channels(); }

    // Where the channels lie that pixel `m` of all rows sees from depth `k` on; null where it sees none.
    __device__ const float* seen(u32 m, u32 k) const {
        const u32 row = m / pixels(), pixel = m % pixels(), place = k / channels();
        if (row >= rows || k >= depth()) return nullptr;
        const u32 line = place / g.columns, column = place % g.columns;
        const int at = BACK ? g.seen_from(pixel, line, column) : g.seen(pixel, line, column);
        if (at < 0) return nullptr;
        const u32 len = BACK ? g.out_pixels() : g.in_pixels();
        return from + (static_cast<u64>(row) * len + static_cast<u32>(at)) * channels() + k % channels();
    }

    // Four values from depth `k`, a multiple of 4, on.
    __device__ float4 four_of(u32 m, u32 k) const {
        if (channels() % 4 == 0) {
            const float* at = seen(m, k);
            return at ? four(at) : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        }
        float values[4];
#pragma unroll
        for (u32 i = 0; i < 4; i++) {
            const float* at = seen(m, k + i);
            values[i] = at ? *at : 0.0f;
        }
        return make_float4(values[0], values[1], values[2], values[3]);
    }
};

// Adds windows of `from` times weights to the sums of this thread: the tile that begins at `m`, `n`.
template <bool BACK>
__device__ void windows_times_weights(const Geometry& g, const float* from, u32 count, const float* w, u32 m, u32 n, Chunks& chunks,
                                      float (&sums)[4][4]) {
    const Windows<BACK> windows{g, from, count};
    // Of `a` a thread loads four neighbours in depth for two pixels.
    const u32 quad = threadIdx.x % 4, pixel = threadIdx.x / 4;
    const u32 depth = windows.depth(), all = windows.channels(), window = g.window(), patch = g.patch();
    const bool vector = window == 1 && is_aligned(w) && patch % 4 == 0;
    for (u32 k0 = 0; k0 < depth; k0 += TILE_K) {
        __syncthreads();
#pragma unroll
        for (u32 j = 0; j < 2; j++) {
            const float4 values = windows.four_of(m + pixel + 32 * j, k0 + 4 * quad);
            const float all4[4] = {values.x, values.y, values.z, values.w};
            for (u32 i = 0; i < 4; i++) chunks.a[4 * quad + i][pixel + 32 * j] = all4[i];
        }
        if (BACK) {
            // Neighbours in n, the channel of the input, lie `window` apart.
            const u32 k = k0 + threadIdx.x / 8, column = n + threadIdx.x % 8 * 4;
            float* to = &chunks.b[threadIdx.x / 8][threadIdx.x % 8 * 4];
            const float* row = w + static_cast<u64>(k % all) * patch + k / all;
            if (vector && k < depth && column + 4 <= g.channels) {
                put(four(row + column), to);
            } else {
                for (u32 i = 0; i < 4; i++) to[i] = k < depth && column + i < g.channels ? row[(column + i) * window] : 0.0f;
            }
        } else {
            // Neighbours in depth, the channel of the input, lie `window` apart.
            const u32 output = n + pixel, k = k0 + 4 * quad;
            const float* row = w + static_cast<u64>(output) * patch;
            float values[4];
            if (vector && output < g.outputs && k + 4 <= depth) {
                put(four(row + k), values);
            } else {
                for (u32 i = 0; i < 4; i++) {
                    const u32 here = k + i;
                    values[i] = output < g.outputs && here < depth ? row[here % all * window + here / all] : 0.0f;
                }
            }
            for (u32 i = 0; i < 4; i++) chunks.b[4 * quad + i][pixel] = values[i];
        }
        __syncthreads();
        multiply(chunks, sums);
    }
}

// Blocks: tiles of pixels times tiles of outputs, tasks.
KERNEL(convolve_forward, Forward, THREADS) {
    SHARED(Chunks, chunks, );
    const u32 task = blockIdx.y, across = (a.g.outputs + TILE_N - 1) / TILE_N;
    const Span rows = rows_of(a.starts, task);
    const u32 m = blockIdx.x / across * TILE_M, n = blockIdx.x % across * TILE_N, pixels = a.g.out_pixels();
    if (m >= rows.count * pixels) return;
    float sums[4][4] = {};
    for (u32 pair = 0; pair < 2 && of_pair(a.x, pair); pair++) {
        const float* x = of_pair(a.x, pair) + static_cast<u64>(rows.first) * a.g.in_pixels() * a.g.channels;
        windows_times_weights<false>(a.g, x, rows.count, of_pair(a.w, pair) + task * of_pair(a.w_stride, pair), m, n, chunks, sums);
    }
    const float* bias = a.bias + task * a.bias_stride;
    for (u32 i = 0; i < 4; i++) {
        const u32 pixel = m + threadIdx.x / 8 * 4 + i;
        if (pixel >= rows.count * pixels) break;
        for (u32 j = 0; j < 4; j++) {
            const u32 output = n + threadIdx.x % 8 * 4 + j;
            if (output >= a.g.outputs) break;
            const u64 at = (static_cast<u64>(rows.first) * pixels + pixel) * a.g.outputs + output;
            const float sum = sums[i][j] + bias[output];
            if (a.sum) a.sum[at] = sum;
            a.a[at] = activate(static_cast<int>(a.activation), sum);
        }
    }
}

// Blocks: tiles of pixels times tiles of channels, tasks.
KERNEL(convolve_inputs, Inputs, THREADS) {
    SHARED(Chunks, chunks, );
    const u32 task = blockIdx.y, across = (a.g.channels + TILE_N - 1) / TILE_N;
    const Span rows = rows_of(a.starts, task);
    const u32 m = blockIdx.x / across * TILE_M, n = blockIdx.x % across * TILE_N, pixels = a.g.in_pixels();
    if (m >= rows.count * pixels) return;
    float sums[4][4] = {};
    for (u32 pair = 0; pair < 2 && of_pair(a.dz, pair); pair++) {
        const float* dz = of_pair(a.dz, pair) + static_cast<u64>(rows.first) * a.g.out_pixels() * a.g.outputs;
        windows_times_weights<true>(a.g, dz, rows.count, of_pair(a.w, pair) + task * of_pair(a.w_stride, pair), m, n, chunks, sums);
    }
    for (u32 i = 0; i < 4; i++) {
        const u32 pixel = m + threadIdx.x / 8 * 4 + i;
        if (pixel >= rows.count * pixels) break;
        for (u32 j = 0; j < 4; j++) {
            const u32 channel = n + threadIdx.x % 8 * 4 + j;
            if (channel >= a.g.channels) break;
            float* at = a.dx + (static_cast<u64>(rows.first) * pixels + pixel) * a.g.channels + channel;
            *at = a.add ? *at + sums[i][j] : sums[i][j];
        }
    }
}

// Blocks: tiles of weights of an output times tiles of outputs, tasks, parts of the pixels. Behind the weights of an output, `[lines, columns,
// channels]`, comes its bias, whose input is 1.
KERNEL(convolve_weights, Weights, THREADS) {
    SHARED(Chunks, chunks, );
    const Geometry& g = a.g;
    const u32 task = blockIdx.y, across = (g.outputs + TILE_N - 1) / TILE_N, pixels = g.out_pixels(), patch = g.patch();
    const Span rows = rows_of(a.starts, task);
    const u32 m = blockIdx.x / across * TILE_M, n = blockIdx.x % across * TILE_N;
    const u32 all = rows.count * pixels, from = min(blockIdx.z * a.part, all), to = min(from + a.part, all);
    float sums[4][4] = {};
    // Of `a` a thread loads four neighbours in m for two pixels.
    const u32 weight = m + threadIdx.x % 16 * 4, output = n + threadIdx.x % 8 * 4;
    for (u32 pair = 0; pair < 2 && of_pair(a.dz, pair); pair++) {
        const Windows<false> windows{g, of_pair(a.x, pair) + static_cast<u64>(rows.first) * g.in_pixels() * g.channels, rows.count};
        const float* dz = of_pair(a.dz, pair) + static_cast<u64>(rows.first) * pixels * g.outputs;
        for (u32 k0 = from; k0 < to; k0 += TILE_K) {
            __syncthreads();
#pragma unroll
            for (u32 j = 0; j < 2; j++) {
                const u32 k = threadIdx.x / 16 + 8 * j;
                float* chunk = &chunks.a[k][threadIdx.x % 16 * 4];
                if (k0 + k < to) {
                    put(windows.four_of(k0 + k, weight), chunk);
                    if (pair == 0 && weight <= patch && patch < weight + 4) chunk[patch - weight] = 1.0f;
                } else {
                    put(make_float4(0.0f, 0.0f, 0.0f, 0.0f), chunk);
                }
            }
            const u32 k = k0 + threadIdx.x / 8;
            float* chunk = &chunks.b[threadIdx.x / 8][threadIdx.x % 8 * 4];
            const float* pixel = dz + static_cast<u64>(k) * g.outputs + output;
            if (k < to && g.outputs % 4 == 0 && output < g.outputs) {
                put(four(pixel), chunk);
            } else {
                for (u32 i = 0; i < 4; i++) chunk[i] = k < to && output + i < g.outputs ? pixel[i] : 0.0f;
            }
            __syncthreads();
            multiply(chunks, sums);
        }
    }
    float* gradient = a.to + task * a.stride + blockIdx.z * a.part_stride;
    for (u32 i = 0; i < 4; i++) {
        const u32 weight = m + threadIdx.x / 8 * 4 + i;
        if (weight > patch) break;
        for (u32 j = 0; j < 4; j++) {
            const u32 output = n + threadIdx.x % 8 * 4 + j;
            if (output >= g.outputs) break;
            const u64 place = weight == patch ? static_cast<u64>(g.outputs) * patch + output
                                              : static_cast<u64>(output) * patch + weight % g.channels * g.window() + weight / g.channels;
            float* at = gradient + place;
            *at = a.add ? *at + sums[i][j] : sums[i][j];
        }
    }
}
