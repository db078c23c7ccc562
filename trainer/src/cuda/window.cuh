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

    // The input pixel that an output pixel sees at this line and column of its window; -1 outside.
    __device__ int seen(u32 pixel, u32 line, u32 column) const {
        const int y = static_cast<int>(pixel / out_width * stride[0] + line) - static_cast<int>(padding[0]);
        const int x = static_cast<int>(pixel % out_width * stride[1] + column) - static_cast<int>(padding[1]);
        const bool there = y >= 0 && x >= 0 && y < static_cast<int>(height) && x < static_cast<int>(width);
        return there ? y * static_cast<int>(width) + x : -1;
    }

    // The output pixel that sees an input pixel at this line and column of its window; -1 for none.
    __device__ int seen_from(u32 pixel, u32 line, u32 column) const {
        const int y = static_cast<int>(pixel / width + padding[0]) - static_cast<int>(line);
        const int x = static_cast<int>(pixel % width + padding[1]) - static_cast<int>(column);
        const int by_y = static_cast<int>(stride[0]), by_x = static_cast<int>(stride[1]);
        if (y < 0 || x < 0 || y % by_y != 0 || x % by_x != 0) return -1;
        const bool there = y / by_y < static_cast<int>(out_height) && x / by_x < static_cast<int>(out_width);
        return there ? y / by_y * static_cast<int>(out_width) + x / by_x : -1;
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
