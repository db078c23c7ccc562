#include "sinew.cuh"

// Kernels that ask the shim itself, some of them wrong on purpose (tests/shim.rs).

struct Numbers {
    const float* from;
    float* to;
    u32 count, choice;
};
ARGUMENTS(Numbers, 24);

// The sum of each block's own numbers.
KERNEL(test_sum, Numbers, 256) {
    SHARED(float, scratch, [32]);
    const u32 at = blockIdx.x * blockDim.x + threadIdx.x;
    const float sum = sum_over_block(at < a.count ? a.from[at] : 0.0f, scratch);
    if (threadIdx.x == 0) a.to[blockIdx.x] = sum;
}

// Where the thread stands.
KERNEL(test_place, Numbers, 1024) {
    const u32 block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    a.to[block * blockDim.x + threadIdx.x] = static_cast<float>(block * 10000 + threadIdx.x);
}

// The neighbour's number, without the barrier that makes it one.
KERNEL(test_race, Numbers, 256) {
    DYNAMIC_SHARED(all);
    all[threadIdx.x] = a.from[threadIdx.x];
    if (a.choice) __syncthreads();
    a.to[threadIdx.x] = all[(threadIdx.x + 1) % blockDim.x];
}

// The number of a neighbour in the next warp, written over behind a shuffle without the barrier that keeps it until all have it.
KERNEL(test_ahead, Numbers, 256) {
    DYNAMIC_SHARED(all);
    all[threadIdx.x] = a.from[threadIdx.x];
    __syncthreads();
    const float got = __shfl_sync(0xffffffffu, all[(threadIdx.x + 32) % blockDim.x], threadIdx.x % 32);
    if (a.choice) __syncthreads();
    all[threadIdx.x] = -1.0f;
    a.to[threadIdx.x] = got;
}

// One number behind the end of: 0 nothing, 1 dynamic shared memory, 2 memory of the device, 3 static shared memory, 4 what a `float4` may
// begin at.
KERNEL(test_overrun, Numbers, 256) {
    DYNAMIC_SHARED(all);
    SHARED(float, some, [8]);
    float* behind[] = {all, all + a.count, a.to + a.count, some + 8, all};
    all[0] = some[0] = 1.0f;
    if (a.choice == 4) {
        a.to[0] = reinterpret_cast<const float4*>(&all[1])->x;
    } else {
        a.to[0] = *behind[a.choice];
    }
}

// What was never written, of both kinds of shared memory; the next block must not see what this one writes.
KERNEL(test_unwritten, Numbers, 32) {
    DYNAMIC_SHARED(all);
    SHARED(float, some, [32]);
    float* to = a.to + 64 * blockIdx.x;
    to[threadIdx.x] = all[threadIdx.x];
    to[32 + threadIdx.x] = some[threadIdx.x];
    all[threadIdx.x] = some[threadIdx.x] = 1.0f;
}

// Wrong by choice: 0 nothing, 1 a barrier that some have left, 2 a barrier against a shuffle, 3 two barriers, 4 a shuffle that some have
// left, 5 two shuffles, 6 a mask, 7 too much static shared memory.
KERNEL(test_diverge, Numbers, 256) {
    const bool odd = threadIdx.x % 2 == 1;
    float value = 1.0f;
    switch (a.choice) {
        case 1:
            if (threadIdx.x == 40) return;
            __syncthreads();
            break;
        case 2:
            if (odd) {
                __syncthreads();
            } else {
                value = __shfl_xor_sync(0xffffffffu, value, 1);
            }
            break;
        case 3:
            if (odd) {
                __syncthreads();
            } else {
                __syncthreads();
            }
            break;
        case 4:
            if (threadIdx.x == 40) return;
            value = __shfl_xor_sync(0xffffffffu, value, 1);
            break;
        case 5:
            value = odd ? __shfl_xor_sync(0xffffffffu, value, 1)
                        : __shfl_down_sync(0xffffffffu, value, 1);
            break;
        case 6: value = __shfl_xor_sync(0x0000ffffu, value, 1); break;
        case 7: {
            SHARED(float, much, [13000]);
            much[threadIdx.x] = value;
            break;
        }
        default: break;
    }
    a.to[threadIdx.x] = value;
}

// Shuffles and votes of one warp: eight numbers for each lane.
KERNEL(test_warp, Numbers, 32) {
    constexpr u32 ALL = 0xffffffffu;
    const float mine = a.from[threadIdx.x];
    float* to = a.to + 8 * threadIdx.x;
    to[0] = __shfl_sync(ALL, mine, 5);
    to[1] = __shfl_sync(ALL, mine, 3, 8);
    to[2] = __shfl_xor_sync(ALL, mine, 16);
    to[3] = __shfl_down_sync(ALL, mine, 2);
    to[4] = __shfl_up_sync(ALL, mine, 2);
    to[5] = static_cast<float>(__ballot_sync(ALL, threadIdx.x < 3));
    to[6] = static_cast<float>(__any_sync(ALL, threadIdx.x == 7) + 2 * __all_sync(ALL, threadIdx.x < 32));
    to[7] = static_cast<float>(__any_sync(ALL, threadIdx.x == 32) + 2 * __all_sync(ALL, threadIdx.x < 31));
}

// Many barriers, for a measurement.
KERNEL(test_barriers, Numbers, 256) {
    SHARED(float, all, [256]);
    all[threadIdx.x] = 0.0f;
    for (u32 i = 0; i < a.count; i++) {
        __syncthreads();
        all[threadIdx.x] += 1.0f;
    }
    atomicAdd(a.to, all[threadIdx.x]);
}
