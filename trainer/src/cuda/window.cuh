// What slides over images, and the arguments of what slides with weights.

// Images are `[rows, height, width, channels]`.
struct Geometry {
    u32 height, width, channels, out_height, out_width, outputs;
    u32 lines, columns, stride[2], padding[2];
    __device__ u32 in_pixels() const { return height * width; }
    __device__ u32 out_pixels() const { return out_height * out_width; }
    __device__ u32 window() const { return lines * columns; }
    // Values of one output's weights.
    __device__ u32 patch() const { return channels * window(); }

    // The input pixel that an output pixel sees at this line and column of its window; -1 outside. What would be below 0 wraps round, and is
    // beyond any image.
    __device__ int seen(u32 pixel, u32 line, u32 column) const {
        const u32 y = pixel / out_width * stride[0] + line - padding[0], x = pixel % out_width * stride[1] + column - padding[1];
        return y < height && x < width ? static_cast<int>(y * width + x) : -1;
    }

    // The output pixel that sees an input pixel at this line and column of its window; -1 for none.
    __device__ int seen_from(u32 pixel, u32 line, u32 column) const {
        const u32 y = pixel / width + padding[0] - line, x = pixel % width + padding[1] - column;
        const u32 out_y = y / stride[0], out_x = x / stride[1];
        const bool there = out_y * stride[0] == y && out_x * stride[1] == x && out_y < out_height && out_x < out_width;
        return there ? static_cast<int>(out_y * out_width + out_x) : -1;
    }
};

struct Forward {
    // Pairs of inputs and weights; the second may be missing.
    const float *x[2], *w[2];
    const float* bias;
    // The output, and where it is wanted the sum before the activation.
    float *a, *sum;
    const u32* starts;
    // Words from one task's to the next.
    u64 w_stride[2], bias_stride;
    Geometry g;
    u32 activation, reserved;
};
ARGUMENTS(Forward, 8 * 8 + 3 * 8 + 14 * 4);

struct Inputs {
    // Pairs of gradients at the sum and weights; the second may be missing.
    const float *dz[2], *w[2];
    float* dx;
    const u32* starts;
    u64 w_stride[2];
    Geometry g;
    // Whether the result is added.
    u32 add, reserved;
};
ARGUMENTS(Inputs, 6 * 8 + 2 * 8 + 14 * 4);

struct Weights {
    // Pairs of gradients at the sum and inputs; the second may be missing. The bias has that of the first pair.
    const float *dz[2], *x[2];
    float* to;
    const u32* starts;
    // Words from one task's to the next, and from one part's to the next.
    u64 stride, part_stride;
    Geometry g;
    // Output pixels of a part; whether the result is added.
    u32 part, add;
};
ARGUMENTS(Weights, 6 * 8 + 2 * 8 + 14 * 4);

// One of a pair. Indexed by what is not known at compile time, the argument of a kernel would be copied to the stack.
template <class T>
__device__ inline T of_pair(const T (&pair)[2], u32 which) {
    return which == 0 ? pair[0] : pair[1];
}
