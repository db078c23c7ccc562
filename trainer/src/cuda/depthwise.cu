#include "sinew.cuh"
#include "window.cuh"

// Convolutions of each channel alone: a thread for each value of the result. With one multiply-add to a value that is read there is nothing to
// tile. Weights are `[channels, 1, lines, columns]`, their biases behind them.

constexpr u32 THREADS = 128;

// Blocks: values of a task, tasks.
KERNEL(depthwise_forward, Forward, THREADS) {
    const u32 task = blockIdx.y, at = blockIdx.x * THREADS + threadIdx.x, pixels = a.g.out_pixels(), channels = a.g.channels;
    const Span rows = rows_of(a.starts, task);
    if (at >= rows.count * pixels * channels) return;
    const u32 channel = at % channels, pixel = at / channels % pixels, row = at / channels / pixels;
    float sum = 0.0f;
    for (u32 pair = 0; pair < 2 && of_pair(a.x, pair); pair++) {
        const float* x = of_pair(a.x, pair) + static_cast<u64>(rows.first + row) * a.g.in_pixels() * channels + channel;
        const float* w = of_pair(a.w, pair) + task * of_pair(a.w_stride, pair) + channel * a.g.window();
        for (u32 line = 0; line < a.g.lines; line++) {
            for (u32 column = 0; column < a.g.columns; column++) {
                const int seen = a.g.seen(pixel, line, column);
                if (seen >= 0) sum = fmaf(w[line * a.g.columns + column], x[static_cast<u32>(seen) * channels], sum);
            }
        }
    }
    sum += a.bias[task * a.bias_stride + channel];
    const u64 to = static_cast<u64>(rows.first) * pixels * channels + at;
    if (a.sum) a.sum[to] = sum;
    a.a[to] = activate(static_cast<int>(a.activation), sum);
}

// Blocks: values of a task, tasks.
KERNEL(depthwise_inputs, Inputs, THREADS) {
    const u32 task = blockIdx.y, at = blockIdx.x * THREADS + threadIdx.x, pixels = a.g.in_pixels(), channels = a.g.channels;
    const Span rows = rows_of(a.starts, task);
    if (at >= rows.count * pixels * channels) return;
    const u32 channel = at % channels, pixel = at / channels % pixels, row = at / channels / pixels;
    float sum = 0.0f;
    for (u32 pair = 0; pair < 2 && of_pair(a.dz, pair); pair++) {
        const float* dz = of_pair(a.dz, pair) + static_cast<u64>(rows.first + row) * a.g.out_pixels() * channels + channel;
        const float* w = of_pair(a.w, pair) + task * of_pair(a.w_stride, pair) + channel * a.g.window();
        for (u32 line = 0; line < a.g.lines; line++) {
            for (u32 column = 0; column < a.g.columns; column++) {
                const int from = a.g.seen_from(pixel, line, column);
                if (from >= 0) sum = fmaf(w[line * a.g.columns + column], dz[static_cast<u32>(from) * channels], sum);
            }
        }
    }
    float* to = a.dx + static_cast<u64>(rows.first) * pixels * channels + at;
    *to = a.add ? *to + sum : sum;
}

// Blocks: a channel and a place of its window, or behind them its bias; tasks; parts of the pixels.
KERNEL(depthwise_weights, Weights, THREADS) {
    SHARED(float, scratch, [32]);
    const u32 task = blockIdx.y, pixels = a.g.out_pixels(), channels = a.g.channels, window = a.g.window();
    const u32 channel = blockIdx.x / (window + 1), place = blockIdx.x % (window + 1);
    const Span rows = rows_of(a.starts, task);
    const u32 all = rows.count * pixels, from = min(blockIdx.z * a.part, all), to = min(from + a.part, all);
    float sum = 0.0f;
    for (u32 pair = 0; pair < 2 && of_pair(a.dz, pair) && (pair == 0 || place < window); pair++) {
        const float* x = of_pair(a.x, pair) + static_cast<u64>(rows.first) * a.g.in_pixels() * channels + channel;
        const float* dz = of_pair(a.dz, pair) + static_cast<u64>(rows.first) * pixels * channels + channel;
        for (u32 at = from + threadIdx.x; at < to; at += THREADS) {
            const float d = dz[static_cast<u64>(at) * channels];
            if (place == window) {
                sum += d;
            } else {
                const int seen = a.g.seen(at % pixels, place / a.g.columns, place % a.g.columns);
                if (seen >= 0) {
                    const u64 pixel = static_cast<u64>(at / pixels) * a.g.in_pixels() + static_cast<u32>(seen);
                    sum = fmaf(d, x[pixel * channels], sum);
                }
            }
        }
    }
    sum = sum_over_block(sum, scratch);
    if (threadIdx.x > 0) return;
    float* at = a.to + task * a.stride + blockIdx.z * a.part_stride + (place == window ? channels * window + channel : channel * window + place);
    *at = a.add ? *at + sum : sum;
}
