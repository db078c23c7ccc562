#include "sinew.cuh"

// Values put elsewhere, or added there.

constexpr u32 THREADS = 256;

struct Place {
    const float* from;
    float* to;
    // Rows, and the values of each that are put.
    u64 rows;
    u32 len;
    // From one row to the next; the first value's place in a row.
    u32 from_row, to_row, from_at, to_at, add;
};
ARGUMENTS(Place, 48);

// Blocks: values.
KERNEL(place, Place, THREADS) {
    const u64 at = static_cast<u64>(blockIdx.x) * THREADS + threadIdx.x;
    if (at >= a.rows * a.len) return;
    const u64 row = at / a.len, value = at % a.len;
    float* to = a.to + row * a.to_row + a.to_at + value;
    const float from = a.from ? a.from[row * a.from_row + a.from_at + value] : 0.0f;
    *to = a.add ? *to + from : from;
}

struct Transpose {
    const float* from;
    float* to;
    // Matrices one behind another, their lines, and the values of a line.
    u64 matrices;
    u32 lines, len, add, reserved;
};
ARGUMENTS(Transpose, 40);

// `[matrices, lines, len]` becomes `[matrices, len, lines]`: a flattened image, or back. Blocks: values.
KERNEL(transpose, Transpose, THREADS) {
    const u64 at = static_cast<u64>(blockIdx.x) * THREADS + threadIdx.x, size = static_cast<u64>(a.lines) * a.len;
    if (at >= a.matrices * size) return;
    const u64 matrix = at / size, place = at % size, line = place % a.lines, value = place / a.lines;
    const float from = a.from[matrix * size + line * a.len + value];
    a.to[at] = a.add ? a.to[at] + from : from;
}

struct Context {
    // The context of the first task, and the words to the next one's.
    const float* context;
    u64 stride;
    float* z;
    const u32* starts;
    u32 inputs, len;
};
ARGUMENTS(Context, 40);

// Behind the inputs of every row its task's context. Blocks: values of a task, tasks.
KERNEL(context, Context, THREADS) {
    const Span rows = rows_of(a.starts, blockIdx.y);
    const u32 at = blockIdx.x * THREADS + threadIdx.x;
    if (at >= rows.count * a.len) return;
    const u64 row = rows.first + at / a.len;
    a.z[row * (a.inputs + a.len) + a.inputs + at % a.len] = a.context[blockIdx.y * a.stride + at % a.len];
}

struct ContextGradient {
    const float* dz;
    float* to;
    u64 stride;
    const u32* starts;
    u32 inputs, len, add, reserved;
};
ARGUMENTS(ContextGradient, 48);

// The sum over the rows of a task. Blocks: values of the context, tasks.
KERNEL(context_gradient, ContextGradient, THREADS) {
    SHARED(float, scratch, [32]);
    const Span rows = rows_of(a.starts, blockIdx.y);
    float sum = 0.0f;
    for (u32 row = threadIdx.x; row < rows.count; row += THREADS) {
        sum += a.dz[static_cast<u64>(rows.first + row) * (a.inputs + a.len) + a.inputs + blockIdx.x];
    }
    sum = sum_over_block(sum, scratch);
    if (threadIdx.x > 0) return;
    float* to = a.to + blockIdx.y * a.stride + blockIdx.x;
    *to = a.add ? *to + sum : sum;
}
