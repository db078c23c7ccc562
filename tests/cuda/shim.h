// CUDA C on the CPU, as far as the kernels of sinew speak it: what stands before a `.cu` file so that a C++ compiler takes it.
//
// A CUDA thread is a fiber (fibers.cpp). Blocks run one after another, and of a block one thread at a time, until it meets a barrier or a
// shuffle, in an order that the launch chooses. All state belongs to the thread of the operating system that launches.

#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#define SINEW_SHIM 1

// The words of the language.
#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
// Without SHARED it is not filled before a block, and nobody sees who leaves it.
#define __shared__ static thread_local

struct uint3 {
    unsigned x, y, z;
};
using dim3 = uint3;

// Set by the scheduler; `__thread` has no constructor to ask for at each use.
extern __thread uint3 threadIdx, blockIdx, blockDim, gridDim;
constexpr int warpSize = 32;

namespace shim {

// A place in the text of a kernel.
struct Site {
    const char* what;
    const char* file;
    int line;
};

using Body = void (*)(const void* arguments);

// A kernel, in the list of all.
struct Kernel {
    const char* name;
    unsigned most_threads;
    std::size_t bytes;
    Body body;
    const Kernel* next;
    Kernel(const char* name, unsigned most_threads, std::size_t bytes, Body body);
};

// Waits for all threads of the block.
void wait_for_block(Site site);

// Waits for all lanes of the warp, each of which brings a value; where the values of all lanes are, until the lane waits for the next.
const std::uint64_t* wait_for_warp(Site site, unsigned mask, std::uint64_t value);

// Dynamic shared memory of this block.
void* dynamic_shared();

// Static shared memory of this block, one for each key.
void* static_shared(const void* key, std::size_t bytes, std::size_t alignment);

inline void sync_warp(Site site, unsigned mask = 0xffffffffu) { wait_for_warp(site, mask, 0); }

template <typename T>
T from_lane(Site site, unsigned mask, T value, unsigned lane) {
    static_assert(sizeof(T) <= 8, "a shuffle carries at most 8 bytes");
    std::uint64_t word = 0;
    std::memcpy(&word, &value, sizeof(T));
    const std::uint64_t* words = wait_for_warp(site, mask, word);
    std::memcpy(&value, &words[lane], sizeof(T));
    return value;
}

inline unsigned lane() { return threadIdx.x % 32; }

// The first lane of the group of `width` to which this lane belongs, and the first of the next.
inline unsigned first(unsigned width) { return lane() / width * width; }
inline unsigned end(unsigned width) { return first(width) + width; }

template <typename T>
T shuffle(Site site, unsigned mask, T value, unsigned from, unsigned width = 32) {
    return from_lane(site, mask, value, first(width) + from % width);
}

// A lane of a later group is out of reach, one of an earlier is not.
template <typename T>
T shuffle_xor(Site site, unsigned mask, T value, unsigned bits, unsigned width = 32) {
    const unsigned other = lane() ^ bits;
    return from_lane(site, mask, value, other < end(width) ? other : lane());
}

template <typename T>
T shuffle_down(Site site, unsigned mask, T value, unsigned by, unsigned width = 32) {
    const unsigned other = lane() + by;
    return from_lane(site, mask, value, other < end(width) ? other : lane());
}

template <typename T>
T shuffle_up(Site site, unsigned mask, T value, unsigned by, unsigned width = 32) {
    return from_lane(site, mask, value, lane() >= first(width) + by ? lane() - by : lane());
}

inline unsigned ballot(Site site, unsigned mask, bool predicate) {
    const std::uint64_t* words = wait_for_warp(site, mask, predicate);
    unsigned votes = 0;
    // What a lane that does not exist has brought is no vote.
    for (unsigned lane = 0; lane < 32; lane++) votes |= static_cast<unsigned>(words[lane] == 1) << lane;
    return votes;
}

template <typename To, typename From>
To bits_of(From from) {
    To to;
    static_assert(sizeof to == sizeof from, "bits are as many");
    std::memcpy(&to, &from, sizeof to);
    return to;
}

}  // namespace shim

#define KERNEL(name, Arguments, threads)                                                                               \
    static void name##_body(const Arguments& a);                                                                       \
    static const shim::Kernel name##_kernel(#name, threads, sizeof(Arguments), [](const void* arguments) {             \
        name##_body(*static_cast<const Arguments*>(arguments));                                                        \
    });                                                                                                                \
    static void name##_body(const Arguments& a)

#define DYNAMIC_SHARED(name) float* const name = static_cast<float*>(shim::dynamic_shared())

#define SHARED(type, name, dimensions)                                                                                 \
    using name##_type = type dimensions;                                                                               \
    static char name##_key;                                                                                            \
    name##_type& name = *static_cast<name##_type*>(shim::static_shared(&name##_key, sizeof(name##_type), alignof(name##_type)))

// Barriers and shuffles are known by where they stand.
#define SHIM_SITE(what) \
    shim::Site { what, __builtin_FILE(), __builtin_LINE() }
#define __syncthreads() shim::wait_for_block(SHIM_SITE("__syncthreads"))

#define __syncwarp(...) shim::sync_warp(SHIM_SITE("__syncwarp"), ##__VA_ARGS__)
#define __shfl_sync(...) shim::shuffle(SHIM_SITE("__shfl_sync"), __VA_ARGS__)
#define __shfl_xor_sync(...) shim::shuffle_xor(SHIM_SITE("__shfl_xor_sync"), __VA_ARGS__)
#define __shfl_down_sync(...) shim::shuffle_down(SHIM_SITE("__shfl_down_sync"), __VA_ARGS__)
#define __shfl_up_sync(...) shim::shuffle_up(SHIM_SITE("__shfl_up_sync"), __VA_ARGS__)
#define __ballot_sync(...) shim::ballot(SHIM_SITE("__ballot_sync"), __VA_ARGS__)
#define __any_sync(...) (shim::ballot(SHIM_SITE("__any_sync"), __VA_ARGS__) != 0)
#define __all_sync(mask, predicate) (shim::ballot(SHIM_SITE("__all_sync"), mask, !(predicate)) == 0)

// Threads of a block take turns, and blocks follow one another: nothing comes between.
template <typename T>
T atomicAdd(T* at, T value) {
    const T before = *at;
    *at = before + value;
    return before;
}
inline void __threadfence() {}
inline void __threadfence_block() {}

template <typename T>
T __ldg(const T* at) {
    return *at;
}

// Vectors, aligned as a GPU demands it; the sanitizer for undefined behaviour looks after that.
struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

template <typename T>
T min(T a, T b) {
    return b < a ? b : a;
}
template <typename T>
T max(T a, T b) {
    return a < b ? b : a;
}
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
// glibc has functions of these names, which it does not show to others.
#define __expf(x) expf(x)
#define __logf(x) logf(x)
#define __fdividef(x, y) ((x) / (y))
#define __int_as_float(bits) shim::bits_of<float>(static_cast<int>(bits))
#define __uint_as_float(bits) shim::bits_of<float>(static_cast<unsigned>(bits))
#define __float_as_int(value) shim::bits_of<int>(static_cast<float>(value))
#define __float_as_uint(value) shim::bits_of<unsigned>(static_cast<float>(value))
