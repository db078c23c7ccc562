#include "sinew.cuh"

// Layer normalisation over all values of a row: h = (x - mean) slope, z = w h + b with w and b of each channel, and its derivatives. With rx, the
// derivative of x along a direction, that of h is rh = slope (rx - shift - h along). The formulas are those of runtime/src/kernel/norm.

constexpr u32 THREADS = 128;

// What is known of a row, `[rows]`: of x, and of rx where there is one, else 0.
struct Statistics {
    float mean, slope, shift, along;
    __device__ float normal(float x) const { return (x - mean) * slope; }
    __device__ float change(float h, float rx) const { return slope * (rx - shift - h * along); }
};

struct OfRows {
    const float *x, *rx;
    Statistics* to;
    u64 len;
};
ARGUMENTS(OfRows, 32);

// Blocks: rows.
KERNEL(norm_statistics, OfRows, THREADS) {
    SHARED(float, scratch, [32]);
    const u32 len = static_cast<u32>(a.len);
    const float* x = a.x + blockIdx.x * a.len;
    const float share = 1.0f / static_cast<float>(len);
    float sum = 0.0f;
    for (u32 i = threadIdx.x; i < len; i += THREADS) sum += x[i];
    const float rough = share * sum_over_block(sum, scratch);
    sum = 0.0f;
    // What rounding left out of a mean that is large beside the deviations.
    for (u32 i = threadIdx.x; i < len; i += THREADS) sum += x[i] - rough;
    Statistics row{rough + share * sum_over_block(sum, scratch), 0.0f, 0.0f, 0.0f};
    sum = 0.0f;
    for (u32 i = threadIdx.x; i < len; i += THREADS) sum += (x[i] - row.mean) * (x[i] - row.mean);
    row.slope = 1.0f / sqrtf(share * sum_over_block(sum, scratch) + 1e-5f);
    if (a.rx) {
        const float* rx = a.rx + blockIdx.x * a.len;
        float shift = 0.0f, along = 0.0f;
        for (u32 i = threadIdx.x; i < len; i += THREADS) {
            shift += rx[i];
            along += row.normal(x[i]) * rx[i];
        }
        row.shift = share * sum_over_block(shift, scratch);
        row.along = share * sum_over_block(along, scratch);
    }
    if (threadIdx.x == 0) a.to[blockIdx.x] = row;
}

struct Outputs {
    const float *x, *rx;
    const Statistics* of_rows;
    // z = p h + q, and with rx also + w rh.
    const float *p, *q, *w;
    float* z;
    const u32* starts;
    // Words from one task's to the next.
    u64 p_stride, q_stride, w_stride;
    u32 len, channels;
};
ARGUMENTS(Outputs, 12 * 8);

// Blocks: values of a task, tasks.
KERNEL(norm_forward, Outputs, THREADS) {
    const Span rows = rows_of(a.starts, blockIdx.y);
    const u64 at = static_cast<u64>(blockIdx.x) * THREADS + threadIdx.x;
    if (at >= static_cast<u64>(rows.count) * a.len) return;
    const u64 place = static_cast<u64>(rows.first) * a.len + at;
    const u32 channel = static_cast<u32>(place % a.channels);
    const Statistics row = a.of_rows[place / a.len];
    const float h = row.normal(a.x[place]);
    float z = h * a.p[blockIdx.y * a.p_stride + channel] + a.q[blockIdx.y * a.q_stride + channel];
    if (a.rx) z += a.w[blockIdx.y * a.w_stride + channel] * row.change(h, a.rx[place]);
    a.z[place] = z;
}

// Means over a row: of w dz and w dz h, and of their derivatives.
struct Sums {
    float mean, along, r_mean, r_along;
};

struct Back {
    const float *x, *rx, *dz, *rdz;
    const Statistics* of_rows;
    Sums* sums;
    const float *w, *v;
    float* dx;
    const u32* starts;
    u64 w_stride, v_stride;
    u32 len, channels, add, reserved;
};
ARGUMENTS(Back, 14 * 8);

// Blocks: rows of a task, tasks.
KERNEL(norm_sums, Back, THREADS) {
    SHARED(float, scratch, [32]);
    const Span rows = rows_of(a.starts, blockIdx.y);
    if (blockIdx.x >= rows.count) return;
    const u64 number = rows.first + blockIdx.x, begin = number * a.len;
    const Statistics row = a.of_rows[number];
    const float *w = a.w + blockIdx.y * a.w_stride, *v = a.v + blockIdx.y * a.v_stride;
    Sums sums{0.0f, 0.0f, 0.0f, 0.0f};
    float moved = 0.0f;
    for (u32 i = threadIdx.x; i < a.len; i += THREADS) {
        const u32 channel = i % a.channels;
        const float dz = a.dz[begin + i], h = row.normal(a.x[begin + i]), g = w[channel] * dz;
        sums.mean += g;
        sums.along += g * h;
        if (a.rdz) {
            const float rg = w[channel] * a.rdz[begin + i] + v[channel] * dz;
            sums.r_mean += rg;
            sums.r_along += rg * h;
            if (a.rx) moved += g * (a.rx[begin + i] - row.shift);
        }
    }
    const float share = 1.0f / static_cast<float>(a.len);
    sums.mean = share * sum_over_block(sums.mean, scratch);
    sums.along = share * sum_over_block(sums.along, scratch);
    if (a.rdz) {
        sums.r_mean = share * sum_over_block(sums.r_mean, scratch);
        sums.r_along = share * sum_over_block(sums.r_along, scratch);
        if (a.rx) sums.r_along += row.slope * (share * sum_over_block(moved, scratch) - row.along * sums.along);
    }
    if (threadIdx.x == 0) a.sums[number] = sums;
}

// Blocks: values of a task, tasks.
KERNEL(norm_inputs, Back, THREADS) {
    const Span rows = rows_of(a.starts, blockIdx.y);
    const u64 at = static_cast<u64>(blockIdx.x) * THREADS + threadIdx.x;
    if (at >= static_cast<u64>(rows.count) * a.len) return;
    const u64 place = static_cast<u64>(rows.first) * a.len + at, number = place / a.len;
    const u32 channel = static_cast<u32>(place % a.channels);
    const Statistics row = a.of_rows[number];
    const Sums sums = a.sums[number];
    const float w = a.w[blockIdx.y * a.w_stride + channel], dz = a.dz[place], h = row.normal(a.x[place]);
    const float plain = w * dz - sums.mean - h * sums.along;
    float dx = row.slope * plain;
    if (a.rdz) {
        const float v = a.v[blockIdx.y * a.v_stride + channel];
        const float rh = a.rx ? row.change(h, a.rx[place]) : 0.0f;
        const float changed = w * a.rdz[place] + v * dz - sums.r_mean - rh * sums.along - h * sums.r_along;
        dx = row.slope * changed - row.slope * row.slope * row.along * plain;
    }
    a.dx[place] = a.add ? a.dx[place] + dx : dx;
}

struct OfWeights {
    const float *x, *rx, *dz, *rdz;
    const Statistics* of_rows;
    // The gradient at the weights, and behind it that at the biases.
    float* to;
    const u32* starts;
    u64 stride;
    u32 len, channels, add, reserved;
};
ARGUMENTS(OfWeights, 10 * 8);

// Of rdz h, or of dz h without one, and with rx also of dz rh; and of rdz. Blocks: channels, tasks.
KERNEL(norm_weights, OfWeights, THREADS) {
    SHARED(float, scratch, [32]);
    const Span rows = rows_of(a.starts, blockIdx.y);
    const u32 pixels = a.len / a.channels, all = rows.count * pixels;
    const float* d = a.rdz ? a.rdz : a.dz;
    float weight = 0.0f, bias = 0.0f;
    for (u32 pixel = threadIdx.x; pixel < all; pixel += THREADS) {
        const u64 number = rows.first + pixel / pixels, place = number * a.len + pixel % pixels * a.channels + blockIdx.x;
        const Statistics row = a.of_rows[number];
        const float h = row.normal(a.x[place]);
        weight += d[place] * h;
        bias += d[place];
        if (a.rx) weight += a.dz[place] * row.change(h, a.rx[place]);
    }
    weight = sum_over_block(weight, scratch);
    bias = sum_over_block(bias, scratch);
    if (threadIdx.x > 0) return;
    float* to = a.to + blockIdx.y * a.stride + blockIdx.x;
    to[0] = a.add ? to[0] + weight : weight;
    to[a.channels] = a.add ? to[a.channels] + bias : bias;
}
