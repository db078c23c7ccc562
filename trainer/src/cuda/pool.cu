#include "sinew.cuh"
#include "window.cuh"

// Pooling: the maximum or the mean of a window of each channel; a thread for each value of the result. As in runtime/src/kernel/pool, padding
// is never the maximum and counts as zeros in a mean, and of equal maxima the first one has the gradient. How many values there are is a
// matter of the launch: no parameters, so no tasks.

constexpr u32 THREADS = 128;

struct Pool {
    // Input and output; what is pooled along, or the gradient behind; the result.
    const float *x, *z, *d;
    float* to;
    u64 rows;
    Geometry g;
    u32 add, reserved;
};
ARGUMENTS(Pool, 5 * 8 + 14 * 4);

// A value of a batch of images: its pixel, and where the channel of its row begins in the other batch.
struct Spot {
    u32 pixel;
    u64 other;
    bool there;
};

__device__ inline Spot spot_of(u64 rows, u32 pixels, u32 other_pixels, u32 channels) {
    const u64 at = static_cast<u64>(blockIdx.x) * THREADS + threadIdx.x, row = at / channels / pixels;
    return {static_cast<u32>(at / channels % pixels), row * other_pixels * channels + at % channels, row < rows};
}

// The first pixel that holds the maximum `z` of a window; -1 if it sees none.
__device__ inline int chosen(const Geometry& g, const float* x, u32 pixel, float z) {
    for (u32 line = 0; line < g.lines; line++) {
        for (u32 column = 0; column < g.columns; column++) {
            const int seen = g.seen(pixel, line, column);
            // Written so that NaN is found.
            if (seen >= 0 && !(x[static_cast<u64>(seen) * g.channels] < z)) return seen;
        }
    }
    return -1;
}

KERNEL(max_forward, Pool, THREADS) {
    const Spot spot = spot_of(a.rows, a.g.out_pixels(), a.g.in_pixels(), a.g.channels);
    if (!spot.there) return;
    float max = -__int_as_float(0x7f800000);
    for (u32 line = 0; line < a.g.lines; line++) {
        for (u32 column = 0; column < a.g.columns; column++) {
            const int seen = a.g.seen(spot.pixel, line, column);
            if (seen < 0) continue;
            const float x = a.x[spot.other + static_cast<u64>(seen) * a.g.channels];
            if (x > max || x != x) max = x;
        }
    }
    a.to[static_cast<u64>(blockIdx.x) * THREADS + threadIdx.x] = max;
}

// `d` where the maxima are.
KERNEL(max_tangent, Pool, THREADS) {
    const Spot spot = spot_of(a.rows, a.g.out_pixels(), a.g.in_pixels(), a.g.channels);
    if (!spot.there) return;
    const u64 at = static_cast<u64>(blockIdx.x) * THREADS + threadIdx.x;
    const int seen = chosen(a.g, a.x + spot.other, spot.pixel, a.z[at]);
    a.to[at] = seen < 0 ? 0.0f : a.d[spot.other + static_cast<u64>(seen) * a.g.channels];
}

// The sum of `d` over the windows whose maximum a pixel is.
KERNEL(max_backward, Pool, THREADS) {
    const Spot spot = spot_of(a.rows, a.g.in_pixels(), a.g.out_pixels(), a.g.channels);
    if (!spot.there) return;
    const u64 at = static_cast<u64>(blockIdx.x) * THREADS + threadIdx.x, channels = a.g.channels;
    const float* image = a.x + at - spot.pixel * channels;
    float sum = 0.0f;
    for (u32 line = 0; line < a.g.lines; line++) {
        for (u32 column = 0; column < a.g.columns; column++) {
            const int from = a.g.seen_from(spot.pixel, line, column);
            if (from < 0) continue;
            const u64 place = spot.other + static_cast<u64>(from) * channels;
            if (chosen(a.g, image, static_cast<u32>(from), a.z[place]) == static_cast<int>(spot.pixel)) sum += a.d[place];
        }
    }
    a.to[at] = a.add ? a.to[at] + sum : sum;
}

KERNEL(average_forward, Pool, THREADS) {
    const Spot spot = spot_of(a.rows, a.g.out_pixels(), a.g.in_pixels(), a.g.channels);
    if (!spot.there) return;
    float sum = 0.0f;
    for (u32 line = 0; line < a.g.lines; line++) {
        for (u32 column = 0; column < a.g.columns; column++) {
            const int seen = a.g.seen(spot.pixel, line, column);
            if (seen >= 0) sum += a.x[spot.other + static_cast<u64>(seen) * a.g.channels];
        }
    }
    a.to[static_cast<u64>(blockIdx.x) * THREADS + threadIdx.x] = sum / static_cast<float>(a.g.window());
}

KERNEL(average_backward, Pool, THREADS) {
    const Spot spot = spot_of(a.rows, a.g.in_pixels(), a.g.out_pixels(), a.g.channels);
    if (!spot.there) return;
    float sum = 0.0f;
    for (u32 line = 0; line < a.g.lines; line++) {
        for (u32 column = 0; column < a.g.columns; column++) {
            const int from = a.g.seen_from(spot.pixel, line, column);
            if (from >= 0) sum += a.d[spot.other + static_cast<u64>(from) * a.g.channels];
        }
    }
    sum /= static_cast<float>(a.g.window());
    float* to = a.to + static_cast<u64>(blockIdx.x) * THREADS + threadIdx.x;
    *to = a.add ? *to + sum : sum;
}
