#include "sinew.cuh"

// Losses of one head: the mean over the rows of a task, its gradient at the outputs, and that gradient's derivative along a direction. The
// formulas are those of runtime/src/kernel/loss.rs. A block for each task, a thread for each row. A target that is NaN is missing: it adds
// nothing and has no gradient; with the cross-entropy so is its row, whose mass is then NaN.

constexpr u32 THREADS = 128;

struct Head {
    // Outputs, `[rows, outputs]`; targets of all heads, `[rows, y_row]`, of which this head's begin at y_at.
    const float *z, *y;
    // Where the gradient goes, or the derivative that is replaced by its own; where the loss of each task goes. Either may be missing.
    float *d, *losses;
    // Rows of a part of a batch and of its other part, where there is one: losses are means over both.
    const u32 *starts, *others;
    u32 outputs, y_row, y_at;
    // Whether losses are added.
    u32 kind, add;
    float weight, delta;
    u32 reserved;
};
ARGUMENTS(Head, 6 * 8 + 8 * 4);

__device__ inline bool is_nan(float value) { return value != value; }

// What each row is multiplied by.
__device__ inline float share_of(const Head& a, Span rows) {
    const u32 others = a.others ? rows_of(a.others, blockIdx.x).count : 0;
    const u32 all = (rows.count + others) * (a.kind == CROSS_ENTROPY ? 1 : a.outputs);
    return a.weight / static_cast<float>(max(all, 1u));
}

// The largest output of a row, and ln sum exp(z - largest).
struct LogSum {
    float top, log_sum;
};

__device__ inline LogSum log_sum_exp(const float* z, u32 len) {
    float top = -__int_as_float(0x7f800000), sum = 0.0f;
    for (u32 i = 0; i < len; i++) top = z[i] > top ? z[i] : top;
    for (u32 i = 0; i < len; i++) sum += expf(z[i] - top);
    // The sum has a 1 in it, for the largest.
    return {top, log1pf(sum - 1.0f)};
}

__device__ inline float total(const float* y, u32 len) {
    float sum = 0.0f;
    for (u32 i = 0; i < len; i++) sum += y[i];
    return sum;
}

// Blocks: tasks.
KERNEL(loss_gradient, Head, THREADS) {
    SHARED(float, scratch, [32]);
    const Span rows = rows_of(a.starts, blockIdx.x);
    const float share = share_of(a, rows);
    float loss = 0.0f;
    for (u32 i = threadIdx.x; i < rows.count; i += THREADS) {
        const u64 row = rows.first + i;
        const float *z = a.z + row * a.outputs, *y = a.y + row * a.y_row + a.y_at;
        LogSum whole{0.0f, 0.0f};
        float mass = 0.0f;
        if (a.kind == CROSS_ENTROPY) {
            whole = log_sum_exp(z, a.outputs);
            mass = total(y, a.outputs);
        }
        for (u32 j = 0; j < a.outputs; j++) {
            if (is_nan(a.kind == CROSS_ENTROPY ? mass : y[j])) {
                if (a.d) a.d[row * a.outputs + j] = 0.0f;
                continue;
            }
            const float e = z[j] - y[j];
            float d;
            switch (a.kind) {
                case MEAN_SQUARED:
                    d = e + e;
                    loss += e * e;
                    break;
                case HUBER:
                    // NaN comes to the last of each, and must stay NaN.
                    d = fabsf(e) <= a.delta ? e : e > 0.0f ? a.delta : 0.0f * e - a.delta;
                    loss += fabsf(e) <= a.delta ? 0.5f * e * e : a.delta * (fabsf(e) - 0.5f * a.delta);
                    break;
                case BINARY_CROSS_ENTROPY:
                    d = sigmoid_of(z[j]) - y[j];
                    loss += (0.0f > z[j] ? 0.0f : z[j]) - y[j] * z[j] + log1pf(expf(-fabsf(z[j])));
                    break;
                default:
                    d = mass * expf(z[j] - whole.top - whole.log_sum) - y[j];
                    loss += y[j] * (whole.log_sum - (z[j] - whole.top));
            }
            if (a.d) a.d[row * a.outputs + j] = share * d;
        }
    }
    if (!a.losses) return;
    loss = share * sum_over_block(loss, scratch);
    if (threadIdx.x == 0) a.losses[blockIdx.x] = a.add ? a.losses[blockIdx.x] + loss : loss;
}

// Blocks: tasks.
KERNEL(loss_tangent, Head, THREADS) {
    const Span rows = rows_of(a.starts, blockIdx.x);
    const float share = share_of(a, rows);
    for (u32 i = threadIdx.x; i < rows.count; i += THREADS) {
        const u64 row = rows.first + i;
        const float *z = a.z + row * a.outputs, *y = a.y + row * a.y_row + a.y_at;
        float* d = a.d + row * a.outputs;
        LogSum whole{0.0f, 0.0f};
        float mass = 0.0f, mean = 0.0f;
        if (a.kind == CROSS_ENTROPY) {
            whole = log_sum_exp(z, a.outputs);
            mass = total(y, a.outputs);
            for (u32 j = 0; j < a.outputs; j++) mean += expf(z[j] - whole.top - whole.log_sum) * d[j];
        }
        for (u32 j = 0; j < a.outputs; j++) {
            if (is_nan(a.kind == CROSS_ENTROPY ? mass : y[j])) {
                d[j] = 0.0f;
                continue;
            }
            float factor = 1.0f;
            switch (a.kind) {
                case MEAN_SQUARED: factor = 2.0f; break;
                case HUBER: factor = fabsf(z[j] - y[j]) > a.delta ? 0.0f : 1.0f; break;
                case BINARY_CROSS_ENTROPY: {
                    const float p = sigmoid_of(z[j]);
                    factor = p * (1.0f - p);
                    break;
                }
                default: factor = mass * expf(z[j] - whole.top - whole.log_sum);
            }
            d[j] = share * factor * (d[j] - mean);
        }
    }
}
