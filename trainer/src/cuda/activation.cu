#include "sinew.cuh"

// Activations where no product makes the sum, and their slopes; value by value. How many values there are is a matter of the launch.

constexpr u32 THREADS = 256;

struct Values {
    // Where the sum is; the output, which may be there, too; where it is wanted a copy of the sum.
    const float* z;
    float *a, *sum;
    u64 count;
    u32 activation, reserved;
};
ARGUMENTS(Values, 40);

KERNEL(activation_forward, Values, THREADS) {
    const u64 at = static_cast<u64>(blockIdx.x) * THREADS + threadIdx.x;
    if (at >= a.count) return;
    const float z = a.z[at];
    if (a.sum) a.sum[at] = z;
    a.a[at] = activate(static_cast<int>(a.activation), z);
}

struct Slopes {
    // The output, or the sum for SILU; the gradient at the output, or a derivative of either.
    const float *known, *d;
    float* to;
    // With both, to + d' · bend · rz of the gradient d' at the output: the derivative along a direction that moves the sum by rz.
    const float *da, *rz;
    u64 count;
    u32 activation, reserved;
};
ARGUMENTS(Slopes, 56);

KERNEL(activation_backward, Slopes, THREADS) {
    const u64 at = static_cast<u64>(blockIdx.x) * THREADS + threadIdx.x;
    if (at >= a.count) return;
    const int activation = static_cast<int>(a.activation);
    const float known = a.known[at];
    float d = a.d[at];
    // A rectifier cuts, so that what is not finite does not get through where it is off.
    d = activation == RELU ? (known > 0.0f ? d : 0.0f) : d * slope_of(activation, known);
    if (a.rz) d += a.da[at] * bend_of(activation, known) * a.rz[at];
    a.to[at] = d;
}
