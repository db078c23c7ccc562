#include "sinew.cuh"

// Mixtures of experts. A row that comes in is `[experts, units]` and then the logits `[gates, experts]`; of each gate that is used the
// experts' activated values are mixed by the softmax of its logits, `[outputs, units]`. The formulas are those of
// runtime/src/kernel/mixture.rs. A block for each row.

constexpr u32 THREADS = 128;

struct Mixture {
    // Inputs, and their derivatives along a direction; gradients at the mixtures, and their derivatives. All but x may be missing.
    const float *x, *rx, *dz, *rdz;
    // The mixtures or the gradient at the inputs; or, where there are derivatives, the derivative of either.
    float* to;
    u32 experts, gates, first, outputs, units, activation, add, reserved;
};
ARGUMENTS(Mixture, 5 * 8 + 8 * 4);

__device__ inline u32 inputs_of(const Mixture& a) { return a.experts * (a.units + a.gates); }

// The logits of a gate that is used.
__device__ inline const float* logits_of(const Mixture& a, const float* row, u32 gate) {
    return row + a.experts * (a.units + a.first + gate);
}

// The softmax over the experts: the largest logit, and ln sum exp(l - largest); and, where the logits move, the mean of how far.
struct Shares {
    float top, log_sum, moved;
    __device__ inline float of(float logit) const { return expf(logit - top - log_sum); }
};

__device__ inline Shares shares_of(const float* l, const float* rl, u32 experts) {
    Shares shares{-__int_as_float(0x7f800000), 0.0f, 0.0f};
    float sum = 0.0f;
    for (u32 e = 0; e < experts; e++) shares.top = l[e] > shares.top ? l[e] : shares.top;
    for (u32 e = 0; e < experts; e++) sum += expf(l[e] - shares.top);
    // The sum has a 1 in it, for the largest.
    shares.log_sum = log1pf(sum - 1.0f);
    if (rl) {
        for (u32 e = 0; e < experts; e++) shares.moved += shares.of(l[e]) * rl[e];
    }
    return shares;
}

// A value that goes through the slope of the activation at h, whose output is `out`.
__device__ inline float through(int activation, float h, float out, float d) {
    if (activation == RELU) return out > 0.0f ? d : 0.0f;
    return d * slope_of(activation, activation == SILU ? h : out);
}

// Blocks: rows.
KERNEL(mixture_forward, Mixture, THREADS) {
    const u64 row = blockIdx.x;
    const int activation = static_cast<int>(a.activation);
    const float* x = a.x + row * inputs_of(a);
    const float* rx = a.rx ? a.rx + row * inputs_of(a) : nullptr;
    for (u32 at = threadIdx.x; at < a.outputs * a.units; at += THREADS) {
        const u32 gate = at / a.units, unit = at % a.units;
        const float* l = logits_of(a, x, gate);
        const float* rl = rx ? logits_of(a, rx, gate) : nullptr;
        const Shares shares = shares_of(l, rl, a.experts);
        float sum = 0.0f;
        for (u32 e = 0; e < a.experts; e++) {
            const float h = x[e * a.units + unit], out = activate(activation, h), p = shares.of(l[e]);
            if (rx) {
                sum += p * (rl[e] - shares.moved) * out;
                sum += p * through(activation, h, out, rx[e * a.units + unit]);
            } else {
                sum += p * out;
            }
        }
        a.to[row * a.outputs * a.units + at] = sum;
    }
}

// Blocks: rows.
KERNEL(mixture_inputs, Mixture, THREADS) {
    SHARED(float, scratch, [32]);
    const u64 row = blockIdx.x;
    const int activation = static_cast<int>(a.activation);
    const u32 inputs = inputs_of(a), values = a.experts * a.units, mixtures = a.outputs * a.units;
    const float *x = a.x + row * inputs, *dz = a.dz + row * mixtures;
    const float* rx = a.rx ? a.rx + row * inputs : nullptr;
    const float* rdz = a.rdz ? a.rdz + row * mixtures : nullptr;
    float* to = a.to + row * inputs;
    for (u32 at = threadIdx.x; at < values; at += THREADS) {
        const u32 e = at / a.units, unit = at % a.units;
        const float h = x[at], out = activate(activation, h);
        float da = 0.0f, rda = 0.0f;
        for (u32 gate = 0; gate < a.outputs; gate++) {
            const float* l = logits_of(a, x, gate);
            const float* rl = rx ? logits_of(a, rx, gate) : nullptr;
            const Shares shares = shares_of(l, rl, a.experts);
            const float p = shares.of(l[e]), d = dz[gate * a.units + unit];
            da += p * d;
            if (rx) rda += p * (rl[e] - shares.moved) * d + p * rdz[gate * a.units + unit];
        }
        float d = through(activation, h, out, rx ? rda : da);
        if (rx) d += da * bend_of(activation, activation == SILU ? h : out) * rx[at];
        to[at] = a.add ? to[at] + d : d;
    }
    // Logits of gates that are not used get nothing.
    for (u32 at = threadIdx.x; at < a.gates * a.experts; at += THREADS) {
        const u32 gate = at / a.experts;
        const bool used = gate >= a.first && gate < a.first + a.outputs;
        if (!used && !a.add) to[values + at] = 0.0f;
    }
    for (u32 gate = 0; gate < a.outputs; gate++) {
        const float* l = logits_of(a, x, gate);
        const float* rl = rx ? logits_of(a, rx, gate) : nullptr;
        const Shares shares = shares_of(l, rl, a.experts);
        const float* d = dz + gate * a.units;
        // The mean over experts of the gradients at their shares, and its derivative.
        float mean = 0.0f, moved = 0.0f;
        for (u32 at = threadIdx.x; at < values; at += THREADS) {
            const u32 e = at / a.units, unit = at % a.units;
            const float h = x[at], out = activate(activation, h), p = shares.of(l[e]);
            mean += p * out * d[unit];
            if (rx) {
                const float by = out * rdz[gate * a.units + unit] + through(activation, h, out, rx[at]) * d[unit];
                moved += p * (rl[e] - shares.moved) * out * d[unit] + p * by;
            }
        }
        mean = sum_over_block(mean, scratch);
        moved = sum_over_block(moved, scratch);
        for (u32 e = threadIdx.x; e < a.experts; e += THREADS) {
            const float p = shares.of(l[e]);
            float by = 0.0f, rby = 0.0f;
            for (u32 unit = 0; unit < a.units; unit++) {
                const float h = x[e * a.units + unit], out = activate(activation, h);
                by += out * d[unit];
                if (rx) {
                    rby += out * rdz[gate * a.units + unit];
                    rby += through(activation, h, out, rx[e * a.units + unit]) * d[unit];
                }
            }
            float value = p * (by - mean);
            if (rx) value = p * (rl[e] - shares.moved) * (by - mean) + p * (rby - moved);
            float* logit = to + values + (a.first + gate) * a.experts + e;
            *logit = a.add ? *logit + value : value;
        }
    }
}
