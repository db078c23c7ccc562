// What the kernels share. NVRTC compiles it for a GPU; with SINEW_SHIM defined, tests/cuda/shim.h stands before it and a C++ compiler makes
// of each kernel a function that runs on the CPU.

typedef unsigned int u32;
typedef unsigned long long u64;

#ifndef SINEW_SHIM
// A kernel: its one argument is named `a`.
#define KERNEL(name, Arguments, threads) extern "C" __global__ void __launch_bounds__(threads) name(const Arguments a)
// The dynamic shared memory of a block.
#define DYNAMIC_SHARED(name)               \
    extern __shared__ float4 name##_all[]; \
    float* const name = reinterpret_cast<float*>(name##_all)
// Shared memory of a size that is known, as in SHARED(float, tile, [16][33]) or SHARED(Chunks, chunks, ): the shim sees each as memory of
// its own, where __shared__ itself would hide what lies behind it and what was never written.
#define SHARED(type, name, dimensions) __shared__ type name dimensions
#endif
// The size of an argument, as the launcher has it.
#define ARGUMENTS(Arguments, bytes) static_assert(sizeof(Arguments) == bytes, "as the launcher has it")

// As spec::Activation.
enum Activation { IDENTITY, RELU, TANH, SILU, SIGMOID };
// As spec::Loss.
enum Loss { MEAN_SQUARED, HUBER, BINARY_CROSS_ENTROPY, CROSS_ENTROPY };

// tanh as runtime/src/kernel/activation.rs has it: the rational function of Eigen and XNNPACK. NaN goes through.
__device__ inline float tanh_of(float x) {
    x = x > 7.905311f ? 7.905311f : x;
    x = x < -7.905311f ? -7.905311f : x;
    const float s = x * x;
    float up = -2.7607685e-16f;
    up = up * s + 2.000188e-13f;
    up = up * s - 8.604672e-11f;
    up = up * s + 5.122297e-8f;
    up = up * s + 1.4857224e-5f;
    up = up * s + 6.372619e-4f;
    up = up * s + 4.893525e-3f;
    float down = 1.1982584e-6f;
    down = down * s + 1.185347e-4f;
    down = down * s + 2.2684346e-3f;
    down = down * s + 4.893525e-3f;
    return x * up / down;
}

__device__ inline float sigmoid_of(float x) { return 0.5f + 0.5f * tanh_of(0.5f * x); }

__device__ inline float activate(int activation, float z) {
    switch (activation) {
        case RELU: return 0.0f > z ? 0.0f : z;
        case TANH: return tanh_of(z);
        case SILU: return z * sigmoid_of(z);
        case SIGMOID: return sigmoid_of(z);
        default: return z;
    }
}

// The slope, told from the output, or from the sum for SILU.
__device__ inline float slope_of(int activation, float known) {
    switch (activation) {
        case RELU: return known > 0.0f ? 1.0f : 0.0f;
        case TANH: return 1.0f - known * known;
        case SILU: {
            const float s = sigmoid_of(known);
            return s + known * s * (1.0f - s);
        }
        case SIGMOID: return known * (1.0f - known);
        default: return 1.0f;
    }
}

// Its derivative by the sum.
__device__ inline float bend_of(int activation, float known) {
    switch (activation) {
        case TANH: return -2.0f * known * (1.0f - known * known);
        case SILU: {
            const float s = sigmoid_of(known);
            return s * (1.0f - s) * (2.0f + known * (1.0f - 2.0f * s));
        }
        case SIGMOID: return known * (1.0f - known) * (1.0f - 2.0f * known);
        default: return 0.0f;
    }
}

// The sum of a value over the threads of a block, on all of them, always in the same order. `scratch` has room for 32.
__device__ inline float sum_over_block(float value, float* scratch) {
    const u32 warps = (blockDim.x + 31) / 32;
    for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffffu, value, step);
    __syncthreads();
    if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = value;
    __syncthreads();
    float sum = 0.0f;
    for (u32 warp = 0; warp < warps; warp++) sum += scratch[warp];
    return sum;
}

// The rows of a task: `starts` has one more number than there are tasks.
struct Span {
    u32 first, count;
};
__device__ inline Span rows_of(const u32* starts, u32 task) { return {starts[task], starts[task + 1] - starts[task]}; }
