#include "sinew.cuh"

// Sums of what blocks or tasks left behind, always in the same order.

constexpr u32 THREADS = 256, GROUPS = 8;

struct Parts {
    // `[parts, tasks, len]`
    const float* parts;
    float* to;
    // Words from one task's result to the next.
    u64 stride;
    u32 count, tasks, len, add;
};
ARGUMENTS(Parts, 40);

// Blocks: values of a task, tasks.
KERNEL(parts, Parts, THREADS) {
    const u32 at = blockIdx.x * THREADS + threadIdx.x;
    if (at >= a.len) return;
    float sum = 0.0f;
    for (u32 part = 0; part < a.count; part++) sum += a.parts[(static_cast<u64>(part) * a.tasks + blockIdx.y) * a.len + at];
    float* to = a.to + blockIdx.y * a.stride + at;
    *to = a.add ? *to + sum : sum;
}

struct Mean {
    // `[tasks, stride]`, of which `len` values are summed up.
    const float* parts;
    // The first values go to the first, `split` of them, and the others to the second.
    float* to[2];
    u64 stride;
    u32 tasks, len, split;
    float share;
};
ARGUMENTS(Mean, 48);

// The sum over tasks, times `share`. A block makes 32 values: each of its 8 warps adds up every eighth task, and then they are added up. Blocks:
// 32 values each.
KERNEL(mean, Mean, THREADS) {
    SHARED(float, sums, [GROUPS][32]);
    const u32 lane = threadIdx.x % 32, group = threadIdx.x / 32, at = blockIdx.x * 32 + lane;
    float sum = 0.0f;
    if (at < a.len) {
#pragma unroll 4
        for (u32 task = group; task < a.tasks; task += GROUPS) sum += a.parts[task * a.stride + at];
    }
    sums[group][lane] = sum;
    __syncthreads();
    if (group > 0 || at >= a.len) return;
    sum = 0.0f;
    for (u32 i = 0; i < GROUPS; i++) sum += sums[i][lane];
    *(at < a.split ? a.to[0] + at : a.to[1] + (at - a.split)) = sum * a.share;
}
