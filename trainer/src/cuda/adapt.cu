#include "sinew.cuh"

// The steps of the inner loop and of the way back, parameter by parameter.

constexpr u32 THREADS = 256, NOT_ADAPTED = 0xffffffffu;

struct Step {
    // Where a step begins; 0 where this is missing.
    const float* from;
    u64 from_stride;
    // The gradient, and the result, `[tasks, count]`.
    const float* d;
    u64 d_stride;
    float* to;
    // Inner rates, and for each parameter which of them is its own from `first` on; 0xffffffff where it is not adapted.
    const float* rates;
    const u32* rate_of;
    u32 count, first;
};
ARGUMENTS(Step, 64);

// to = from - rate d. Blocks: parameters, tasks.
KERNEL(step, Step, THREADS) {
    const u32 at = blockIdx.x * THREADS + threadIdx.x;
    if (at >= a.count) return;
    const float from = a.from ? a.from[blockIdx.y * a.from_stride + at] : 0.0f;
    const u32 rate = a.rate_of[at];
    a.to[static_cast<u64>(blockIdx.y) * a.count + at] =
        rate == NOT_ADAPTED ? from : from - a.rates[a.first + rate] * a.d[blockIdx.y * a.d_stride + at];
}

struct Rates {
    // The adjoint and the gradient of this step, `[tasks, count]`, the first of them `stride` apart.
    const float *adjoint, *gradient;
    // The gradient by the rates, `stride` apart, from which their products are taken.
    float* to;
    u64 stride;
    // As for a step.
    const u32* rate_of;
    // Of each adapted layer the first parameter and the one behind its last; missing where each parameter has its own rate.
    const u32* layers;
    u32 count, first, layer_count, reserved;
};
ARGUMENTS(Rates, 64);

// Blocks: parameters where each has its own rate, otherwise one; tasks.
KERNEL(rates, Rates, THREADS) {
    SHARED(float, scratch, [32]);
    const float *adjoint = a.adjoint + blockIdx.y * a.stride, *gradient = a.gradient + static_cast<u64>(blockIdx.y) * a.count;
    float* to = a.to + blockIdx.y * a.stride;
    if (!a.layers) {
        const u32 at = blockIdx.x * THREADS + threadIdx.x;
        if (at < a.count && a.rate_of[at] != NOT_ADAPTED) to[a.first + a.rate_of[at]] -= adjoint[at] * gradient[at];
        return;
    }
    for (u32 layer = 0; layer < a.layer_count; layer++) {
        const u32 from = a.layers[2 * layer], end = a.layers[2 * layer + 1];
        float sum = 0.0f;
        for (u32 at = from + threadIdx.x; at < end; at += THREADS) sum += adjoint[at] * gradient[at];
        sum = sum_over_block(sum, scratch);
        // Layers may share one rate: the same thread takes it from one after the other.
        if (threadIdx.x == 0) to[a.first + a.rate_of[from]] -= sum;
    }
}
