#include "sinew.cuh"

// AdamW (Loshchilov and Hutter 2019) as trainer/src/optimiser.rs has it, for parameters and inner rates together, with the gradient clipped to a
// norm. Nothing is done where the gradient is not finite.

constexpr u32 THREADS = 256;

// One vector of what is learned.
struct Learned {
    float *values, *first, *second;
    const float* gradient;
    u64 count;
    float rate, keep, scale_first, scale_second;
};

struct Adam {
    Learned of[2];
    // Sums of squares of parts of the gradient; where they are missing each block adds up all of it.
    const double* squares;
    u64 square_count;
    // Where the norm goes.
    double* norm;
    // The most that it may be; below 0 for any.
    double most;
    float beta1, rest1, beta2, rest2, epsilon;
    u32 reserved;
};
ARGUMENTS(Adam, 2 * 56 + 4 * 8 + 6 * 4);

__device__ inline double sum_over_block(double value, double* scratch) {
    __syncthreads();
    scratch[threadIdx.x] = value;
    for (u32 half = THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) scratch[threadIdx.x] += scratch[threadIdx.x + half];
    }
    __syncthreads();
    return scratch[0];
}

__device__ inline double square(const Learned& of, u64 at) {
    const double g = of.gradient[at];
    return g * g;
}

struct Squares {
    Learned of[2];
    double* to;
};
ARGUMENTS(Squares, 2 * 56 + 8);

// The sum of squares of the part of a block. Blocks: values of both vectors.
KERNEL(squares, Squares, THREADS) {
    SHARED(double, scratch, [THREADS]);
    const u64 at = static_cast<u64>(blockIdx.x) * THREADS + threadIdx.x;
    double sum = 0.0;
    if (at < a.of[0].count) {
        sum = square(a.of[0], at);
    } else if (at - a.of[0].count < a.of[1].count) {
        sum = square(a.of[1], at - a.of[0].count);
    }
    sum = sum_over_block(sum, scratch);
    if (threadIdx.x == 0) a.to[blockIdx.x] = sum;
}

// Blocks: values of both vectors.
KERNEL(adam_step, Adam, THREADS) {
    SHARED(double, scratch, [THREADS]);
    double sum = 0.0;
    if (a.squares) {
        for (u64 i = threadIdx.x; i < a.square_count; i += THREADS) sum += a.squares[i];
    } else {
        for (u32 of = 0; of < 2; of++)
            for (u64 i = threadIdx.x; i < a.of[of].count; i += THREADS) sum += square(a.of[of], i);
    }
    // The same sum in the same order in every block.
    const double norm = sqrt(sum_over_block(sum, scratch));
    if (blockIdx.x == 0 && threadIdx.x == 0) *a.norm = norm;
    // Neither NaN nor infinite.
    if (!(norm - norm == 0.0)) return;
    u64 at = static_cast<u64>(blockIdx.x) * THREADS + threadIdx.x;
    const bool first = at < a.of[0].count;
    const Learned& of = a.of[first ? 0 : 1];
    if (!first) at -= a.of[0].count;
    if (at >= of.count) return;
    const float factor = a.most >= 0.0 && norm > a.most ? static_cast<float>(a.most / norm) : 1.0f;
    const float gradient = factor * of.gradient[at];
    const float mean = a.beta1 * of.first[at] + a.rest1 * gradient;
    const float spread = a.beta2 * of.second[at] + a.rest2 * gradient * gradient;
    of.first[at] = mean;
    of.second[at] = spread;
    const float step = mean * of.scale_first / (sqrtf(spread * of.scale_second) + a.epsilon);
    of.values[at] = of.values[at] * of.keep - of.rate * step;
}
