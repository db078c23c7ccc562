#include "sinew.cuh"
#include "tile.cuh"

// The whole inner loop of a task of a dense network, and the exact way back through it, in one block (dense.rs has the plan and the
// reasons for the layout; trainer/src/engine/cpu/recursion.rs the mathematics).
//
// Blocks stay and take one task after another. A block works in its arena: the parameters, lambda, and the traces of one side, all with
// rows and units padded to multiples of 4, so that each load of a product is a float4 and no product asks for bounds. What is kept of the
// steps lies in the archive, which is only copied to and from.

// As `flags` in dense.rs.
enum { GRADIENT = 1, BACK = 2, SECOND = 4, LEARN = 8, ARCHIVE_SHARED = 16 };
// As rule::Rate.
enum { CONSTANT, PER_LAYER_STEP, PER_PARAMETER };
enum : u32 { ALL = 0xffffffffu };
// What a pass is for: a step, the traces alone, the loss on the query.
enum { STEP, TRACE, QUERY };
// Words of the table for a layer and for a head.
enum { LAYER = 12, HEAD = 8 };

struct Dense {
    const u32* table;
    const float *params, *rates;
    const float *support_x, *support_y, *query_x, *query_y;
    const u32 *support_starts, *query_starts;
    float *losses, *parts, *scratch;
    u32 tasks, layers, heads, inputs;
    u32 outputs, param_count, rate_count, rate;
    // Which layers are adapted; whose outputs change when these do; whose gradients do. The first head of which one does.
    u32 steps, segment, adapted, live;
    u32 moving, first_head, flags, query_rows;
    // Words of the padded parameters; of a panel of x, and of all panels of 4 rows of a trace, with and without what SiLU needs besides.
    u32 padded, input_width, width, narrow;
    // Where in the arena; where the archive has traces, and the words of one of them.
    u32 lambda, direction, traces, archive_traces;
    u32 archive_trace, archive, scratch_words, maps;
    // Where in shared memory.
    u32 arena, sums;
};
ARGUMENTS(Dense, 216);

struct Layer {
    u32 inputs, outputs, activation, source;
    // In the flat vector, in the padded one; words of a panel of W and of the trace.
    u32 offset, at, in, out;
    // Words before it in the trace of 4 rows: the output, and what SiLU needs besides.
    u32 a, deep, head;
    INLINE u32 units() const { return (outputs + 3) / 4 * 4; }
    // Where the bias begins behind the weights.
    INLINE u32 bias() const { return at + (outputs + 3) / 4 * in; }
    INLINE bool curved() const { return activation >= TANH; }
};
INLINE Layer layer_of(const u32* table, u32 number) {
    const u32* w = table + number * LAYER;
    return {w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7], w[8], w[9], w[10]};
}

struct Head {
    u32 loss, last, column, outputs;
    float delta, weight;
};
INLINE Head head_of(const u32* words) {
    return {words[0], words[1], words[2], words[3], __uint_as_float(words[4]), __uint_as_float(words[5])};
}

// As activate and slope_of in sinew.cuh, of four at a time: one branch for them all.
INLINE void activate(u32 activation, float (&z)[4]) {
    if (activation == IDENTITY) return;
    if (activation == RELU) {
#pragma unroll
        for (u32 n = 0; n < 4; n++) z[n] = activate(RELU, z[n]);
    } else if (activation == TANH) {
#pragma unroll
        for (u32 n = 0; n < 4; n++) z[n] = tanh_of(z[n]);
    } else {
#pragma unroll
        for (u32 n = 0; n < 4; n++) {
            const float s = sigmoid_of(z[n]);
            z[n] = activation == SILU ? z[n] * s : s;
        }
    }
}
INLINE void slope(u32 activation, float (&k)[4]) {
    if (activation == TANH) {
#pragma unroll
        for (u32 n = 0; n < 4; n++) k[n] = slope_of(TANH, k[n]);
    } else if (activation == RELU) {
#pragma unroll
        for (u32 n = 0; n < 4; n++) k[n] = slope_of(RELU, k[n]);
    } else if (activation == SILU) {
#pragma unroll
        for (u32 n = 0; n < 4; n++) k[n] = slope_of(SILU, k[n]);
    } else {
#pragma unroll
        for (u32 n = 0; n < 4; n++) k[n] = slope_of(activation == SIGMOID ? SIGMOID : IDENTITY, k[n]);
    }
}

// One task in one block.
struct Block {
    const Dense& a;
    const u32* table;
    u32* maps;
    float* sums;
    float* arena;
    // The rows of this pass, and their panels.
    u32 rows, panels;
    // The loss, and the gradient by one rate, as far as this thread has it.
    float loss, gathered;

    INLINE float* theta() const { return arena; }
    INLINE float* lambda() const { return arena + a.lambda; }
    // Where traces begin in the arena: x, outputs, gradients at sums, and what a tangent changes in both.
    INLINE u32 x() const { return a.traces; }
    INLINE u32 forward() const { return x() + a.input_width * panels; }
    INLINE u32 backward() const { return forward() + a.width * panels; }
    INLINE u32 tangent() const { return backward() + a.width * panels; }
    INLINE u32 back_tangent() const { return tangent() + a.narrow * panels; }
    INLINE Layer layer(u32 number) const { return layer_of(table, number); }
    INLINE Head head(u32 number) const { return head_of(table + a.layers * LAYER + number * HEAD); }
    INLINE const u32* map(u32 number, u32 product) const { return maps + (number * PRODUCTS + product) * MAP; }
    // The output of the layer before, or x.
    INLINE u32 below(const Layer& l) const { return l.source == NONE ? x() : forward() + table[l.source * LAYER + 8] * panels; }
    // The same of what a tangent changes in it, if it does.
    INLINE u32 tangent_below(const Layer& l) const {
        return l.source != NONE && has(a.live, l.source) ? tangent() + table[l.source * LAYER + 8] * panels : NONE;
    }
    // What the slope is told from.
    INLINE u32 known(const Layer& l) const { return forward() + (l.activation == SILU ? l.deep : l.a) * panels; }

    // Whatever the padding of a parameter vector holds is not to be used: of `at` in the padded weights of a layer, whether it is one.
    template <class Out>
    INLINE void each_parameter(const Layer& l, const Out& out) const {
        const u32 units = l.units(), wide = (l.inputs + 3) / 4 * 4;
        // A warp takes a row, and its next is so many panels on: no thread divides.
        const u32 warp = threadIdx.x / 32, lane = threadIdx.x % 32;
        u32 row = l.at + place(warp, lane, l.in), from = l.offset + warp * l.inputs + lane;
#pragma unroll 1
        for (u32 o = warp; o < units; o += WARPS, row += WARPS / 4 * l.in, from += WARPS * l.inputs) {
            u32 at = row, flat = from;
#pragma unroll 1
            for (u32 in = lane; in < wide; in += 32, at += 128, flat += 32) out(at, flat, o < l.outputs && in < l.inputs);
        }
        for (u32 o = threadIdx.x; o < units; o += THREADS) {
            out(l.bias() + o, l.offset + l.outputs * l.inputs + o, o < l.outputs);
        }
    }

    INLINE void load_params() const {
        for (u32 number = 0; number < a.layers; number++) {
            each_parameter(layer(number), [&](u32 at, u32 flat, bool real) { theta()[at] = real ? a.params[flat] : 0.0f; });
        }
    }

    // Rows of inputs, padded with zeros, and which lane does what with so many of them, if that is not what the maps say already.
    INLINE void load_rows(const float* from) {
        const bool other = panels != (rows + 3) / 4;
        panels = (rows + 3) / 4;
        const u32 wide = (a.inputs + 3) / 4 * 4;
        for (u32 i = threadIdx.x; i < 4 * panels * wide; i += THREADS) {
            const u32 row = i / wide, in = i % wide;
            arena[x() + place(row, in, a.input_width)] = row < rows && in < a.inputs ? from[u64(row) * a.inputs + in] : 0.0f;
        }
        if (!other) return;
        for (u32 i = threadIdx.x; i < a.layers * PRODUCTS * MAP; i += THREADS) {
            const u32 number = i / (PRODUCTS * MAP), which = i / MAP % PRODUCTS;
            const u32 *w = table + number * LAYER, r = panels, in = (w[0] + 3) / 4, out = (w[1] + 3) / 4;
            const u32 down = which == WEIGHTS ? out : r, across = which == SUMS ? out : in;
            maps[i] = map_of(which, pairs(down), across, which == SUMS ? in : which == INPUTS ? out : r, i % MAP);
        }
    }

    // The rate of a layer at a step, where it is one number.
    INLINE float rate_of(u32 step, u32 number) const { return a.rates[a.rate == PER_LAYER_STEP ? step * a.layers + number : 0]; }

    // Outputs of the layers in `set`.
    INLINE void forward(u32 set) const {
#pragma unroll 1
        for (u32 number = 0; number < a.layers; number++) {
            if (!has(set, number)) continue;
            const Layer l = layer(number);
            const u32 to = forward() + l.a * panels, deep = forward() + l.deep * panels;
            product<true, true, false>(map(number, SUMS), arena, panels, l.units() / 4, (l.inputs + 3) / 4, NOTHING, 1.0f,
                {below(l), l.in, l.at, l.in}, [&](u32 row, u32 m, u32 column, float (&z)[4]) {
                    const u32 at = row * l.out + along(column) + 16 * m;
                    float b[4];
                    load(theta() + l.bias() + 4 * column, b);
#pragma unroll
                    for (u32 n = 0; n < 4; n++) z[n] += b[n];
                    if (l.activation == SILU) store(arena + deep + at, z);
                    activate(l.activation, z);
                    // Of a sum of 0 a sigmoid makes 1/2, and of 0 * infinity comes NaN.
                    if (4 * column + 4 > l.outputs) {
#pragma unroll
                        for (u32 n = 0; n < 4; n++) {
                            if (4 * column + n >= l.outputs) z[n] = 0.0f;
                        }
                    }
                    store(arena + to + at, z);
                });
            __syncthreads();
        }
    }

    // Sums, over the outputs of a row, what the lanes of a warp have.
    INLINE static float over_warp(float value) {
        for (u32 bit = 16; bit > 0; bit /= 2) value += __shfl_xor_sync(0xffffffffu, value, bit);
        return value;
    }

    // For a row of a cross-entropy: the largest of z, and ln of the sum of exp(z - largest).
    INLINE static float2 log_sum(const float* z, u32 row, u32 panel, u32 outputs) {
        const u32 lane = threadIdx.x % 32;
        float top = __uint_as_float(0xff800000u);
        for (u32 o = lane; o < outputs; o += 32) {
            const float value = z[place(row, o, panel)];
            top = value > top ? value : top;
        }
        for (u32 bit = 16; bit > 0; bit /= 2) {
            const float other = __shfl_xor_sync(0xffffffffu, top, bit);
            top = other > top ? other : top;
        }
        float sum = 0.0f;
        for (u32 o = lane; o < outputs; o += 32) sum += expf(z[place(row, o, panel)] - top);
        return make_float2(top, log1pf(over_warp(sum) - 1.0f));
    }

    // The loss of rows among `all`, and unless `value_alone` its gradient at the sums of the last layers.
    INLINE void losses(const float* y, u32 all, u32 set, bool value_alone) {
#pragma unroll 1
        for (u32 number = 0; number < a.heads; number++) {
            const Head h = head(number);
            if (!has(set, h.last)) continue;
            const Layer l = layer(h.last);
            const float *z = arena + forward() + l.a * panels, *from = arena + known(l);
            float *dz = arena + backward() + l.a * panels, *da = arena + backward() + l.deep * panels;
            const u32 count = h.loss == CROSS_ENTROPY ? all : all * h.outputs;
            const float share = h.weight / float(count > 1 ? count : 1);
            const auto put = [&](u32 at, float d) {
                if (value_alone) return;
                if (l.activation == SILU) da[at] = d;
                dz[at] = l.activation == IDENTITY ? d : d * slope_of(l.activation, from[at]);
            };
            const u32 units = l.units();
            if (h.loss == CROSS_ENTROPY) {
                const u32 lane = threadIdx.x % 32;
                for (u32 row = threadIdx.x / 32; row < 4 * panels; row += THREADS / 32) {
                    const float2 log = log_sum(z, row, l.out, h.outputs);
                    const bool real = row < rows;
                    const float* target = y + u64(row) * a.outputs + h.column;
                    float mass = 0.0f, value = 0.0f;
                    if (real) {
                        for (u32 o = lane; o < h.outputs; o += 32) {
                            mass += target[o];
                            value += target[o] * (log.y - (z[place(row, o, l.out)] - log.x));
                        }
                    }
                    mass = over_warp(mass);
                    const bool there = mass == mass;
                    for (u32 o = lane; o < units; o += 32) {
                        const bool counts = real && there && o < h.outputs;
                        const u32 at = place(row, o, l.out);
                        put(at, counts ? (mass * expf(z[at] - log.x - log.y) - target[o]) * share : 0.0f);
                    }
                    if (there) loss += value * share;
                }
                continue;
            }
            for (u32 i = threadIdx.x; i < 4 * panels * units; i += THREADS) {
                const u32 row = i / units, o = i % units, at = place(row, o, l.out);
                float d = 0.0f;
                if (row < rows && o < h.outputs) {
                    const float target = y[u64(row) * a.outputs + h.column + o], out = z[at], e = out - target;
                    float value;
                    if (h.loss == MEAN_SQUARED) {
                        value = e * e, d = e + e;
                    } else if (h.loss == HUBER) {
                        const float size = fabsf(e);
                        value = size <= h.delta ? 0.5f * e * e : h.delta * (size - 0.5f * h.delta);
                        // NaN comes to the last, and must stay NaN.
                        d = size <= h.delta ? e : e > 0.0f ? h.delta : -h.delta + 0.0f * e;
                    } else {
                        value = (0.0f > out ? 0.0f : out) - target * out + log1pf(expf(-fabsf(out)));
                        d = sigmoid_of(out) - target;
                    }
                    // A target that is NaN is missing, as in loss.cu.
                    if (target == target) {
                        loss += value * share;
                        d *= share;
                    } else {
                        d = 0.0f;
                    }
                }
                put(at, d);
            }
        }
    }

    // The gradient at the sums of the layer before; the first head to bring one to the backbone replaces what is there.
    INLINE void inputs(u32 number, const Layer& l) const {
        const Layer s = layer(l.source);
        const u32 from = known(s), dz = backward() + s.a * panels, da = backward() + s.deep * panels;
        const bool adds = l.head > 1;
        product<true, false, false>(map(number, INPUTS), arena, panels, (l.inputs + 3) / 4, l.units() / 4, NOTHING, 1.0f,
            {backward() + l.a * panels, l.out, l.at, l.in}, [&](u32 row, u32 m, u32 column, float (&d)[4]) {
                const u32 at = row * s.out + along(column) + 16 * m;
                float k[4], old[4] = {0.0f, 0.0f, 0.0f, 0.0f};
                load(arena + from + at, k);
                if (s.activation == SILU) {
                    if (adds) load(arena + da + at, old);
#pragma unroll
                    for (u32 n = 0; n < 4; n++) old[n] += d[n];
                    store(arena + da + at, old);
#pragma unroll
                    for (u32 n = 0; n < 4; n++) old[n] = 0.0f;
                }
                if (adds) load(arena + dz + at, old);
                slope(s.activation, k);
#pragma unroll
                for (u32 n = 0; n < 4; n++) d[n] = old[n] + d[n] * k[n];
                store(arena + dz + at, d);
            });
    }

    // dz^T x of a layer: weights(row, m, column, values) and bias(unit, value).
    template <class Weights, class Bias>
    INLINE void weights(u32 number, const Layer& l, Factors first, Factors second, const Weights& out, const Bias& bias) const {
        product<false, false, true>(map(number, WEIGHTS), arena, l.units() / 4, (l.inputs + 3) / 4, panels, first, 1.0f, second, out);
        // The last threads first: where tiles are few, they have none.
        for (u32 o = THREADS - 1 - threadIdx.x; o < l.units(); o += THREADS) {
            float sum = 0.0f;
            const float* of = arena + second.a + place(0, o, l.out);
            for (u32 panel = 0; panel < panels; panel++, of += l.out) sum += of[0] + of[16] + (of[32] + of[48]);
            bias(o, sum);
        }
    }

    // What becomes of the gradient of a layer by its parameters: a step, or lambda, or more of lambda.
    INLINE void update(u32 number, const Layer& l, u32 step, u32 purpose, bool adds) const {
        const Factors gradient = {backward() + l.a * panels, l.out, below(l), l.in};
        const u32 to = purpose == QUERY ? a.lambda : 0;
        const bool each = purpose == STEP && a.rate == PER_PARAMETER;
        const float old = purpose == STEP || adds ? 1.0f : 0.0f;
        const float factor = purpose == QUERY ? 1.0f : each ? 0.0f : -rate_of(step, number);
        const float* rates = a.rates + l.offset;
        weights(
            number, l, NOTHING, gradient,
            [&](u32 row, u32 m, u32 column, float (&g)[4]) {
                const u32 at = row * l.in + along(column) + 16 * m;
                float v[4] = {0.0f, 0.0f, 0.0f, 0.0f};
                if (old != 0.0f) load(arena + to + l.at + at, v);
                if (each) {
                    const u32 o = 4 * row + m, in = 4 * column;
                    if (o < l.outputs) {
#pragma unroll
                        for (u32 n = 0; n < 4; n++) {
                            if (in + n < l.inputs) v[n] -= rates[o * l.inputs + in + n] * g[n];
                        }
                    }
                } else {
#pragma unroll
                    for (u32 n = 0; n < 4; n++) v[n] += factor * g[n];
                }
                store(arena + to + l.at + at, v);
            },
            [&](u32 o, float g) {
                float* bias = arena + to + l.bias() + o;
                const float v = old != 0.0f ? *bias : 0.0f;
                const float rate = !each ? factor : o < l.outputs ? -rates[l.outputs * l.inputs + o] : 0.0f;
                *bias = v + rate * g;
            });
    }

    // From the gradient at the sums of the last layers to those of all layers in `set`, and what becomes of them. Between a product with
    // W and what changes W is a barrier; between that and the next product is none.
    INLINE void back(u32 set, u32 step, u32 purpose, bool adds) const {
        u32 before = NONE;
#pragma unroll 1
        for (u32 at = 0; at <= a.layers; at++) {
            const u32 number = at < a.layers ? table[at * LAYER + 11] : NONE;
            if (at < a.layers && !has(set, number)) continue;
            if (before != NONE && (purpose == QUERY || (purpose == STEP && has(a.adapted, before)))) {
                update(before, layer(before), step, purpose, adds);
            }
            before = number;
            if (at == a.layers) break;
            const Layer l = layer(number);
            if (l.source != NONE && has(set, l.source)) inputs(number, l);
            __syncthreads();
        }
    }

    // The direction -alpha * lambda, where each parameter has a rate.
    INLINE void direct() const {
        float* v = arena + a.direction;
        for (u32 number = 0; number < a.layers; number++) {
            if (!has(a.adapted, number)) continue;
            each_parameter(layer(number), [&](u32 at, u32 flat, bool real) { v[at] = real ? -a.rates[flat] * lambda()[at] : 0.0f; });
        }
    }

    // The gradient by the rates gathers -lambda * gradient of this step.
    INLINE void gather_rates(u32 step, float* to) {
#pragma unroll 1
        for (u32 number = 0; number < a.layers; number++) {
            if (!has(a.adapted, number)) continue;
            const Layer l = layer(number);
            const bool each = a.rate == PER_PARAMETER;
            float* flat = to + l.offset;
            weights(
                number, l, NOTHING, {backward() + l.a * panels, l.out, below(l), l.in},
                [&](u32 row, u32 m, u32 column, float (&g)[4]) {
                    const u32 o = 4 * row + m, in = 4 * column;
                    float v[4];
                    load(lambda() + l.at + row * l.in + along(column) + 16 * m, v);
                    if (!each) {
#pragma unroll
                        for (u32 n = 0; n < 4; n++) gathered -= v[n] * g[n];
                    } else if (o < l.outputs) {
#pragma unroll
                        for (u32 n = 0; n < 4; n++) {
                            if (in + n < l.inputs) flat[o * l.inputs + in + n] -= v[n] * g[n];
                        }
                    }
                },
                [&](u32 o, float g) {
                    const float v = lambda()[l.bias() + o];
                    if (!each) gathered -= v * g;
                    else if (o < l.outputs) flat[l.outputs * l.inputs + o] -= v * g;
                });
            if (a.rate == PER_LAYER_STEP) {
                const float sum = sum_over_block(gathered, sums);
                if (threadIdx.x == 0) to[step * a.layers + number] = sum;
                gathered = 0.0f;
            }
        }
    }

    // What a step along -alpha * lambda changes in the outputs of the live layers. What it changes in the gradient through the bend of an
    // activation is put where the gradient's change will be added.
    INLINE void tangents(u32 step) const {
        const bool each = a.rate == PER_PARAMETER;
#pragma unroll 1
        for (u32 number = 0; number < a.layers; number++) {
            if (!has(a.live, number)) continue;
            const Layer l = layer(number);
            const bool own = has(a.adapted, number);
            const u32 v = each ? a.direction : a.lambda;
            const float factor = each || !own ? 1.0f : -rate_of(step, number);
            const u32 from = known(l), to = tangent() + l.a * panels, bent = back_tangent() + l.a * panels;
            // Of tanh and sigmoid the bend is a multiple of the slope, which the gradient at the sum has in it.
            const u32 bends = backward() + (l.activation == SILU ? l.deep : l.a) * panels;
            product<true, true, false>(map(number, SUMS), arena, panels, l.units() / 4, (l.inputs + 3) / 4,
                {own ? below(l) : NONE, l.in, v + l.at, l.in}, factor, {tangent_below(l), l.in, l.at, l.in},
                [&](u32 row, u32 m, u32 column, float (&rz)[4]) {
                    if (own) {
                        float b[4];
                        load(arena + v + l.bias() + 4 * column, b);
#pragma unroll
                        for (u32 n = 0; n < 4; n++) rz[n] += factor * b[n];
                    }
                    const u32 at = row * l.out + along(column) + 16 * m;
                    float k[4];
                    load(arena + from + at, k);
                    if (l.curved()) {
                        float d[4];
                        load(arena + bends + at, d);
                        if (l.activation == SILU) {
#pragma unroll
                            for (u32 n = 0; n < 4; n++) d[n] *= bend_of(SILU, k[n]) * rz[n];
                        } else {
                            const float flat = l.activation == SIGMOID ? 1.0f : 0.0f;
#pragma unroll
                            for (u32 n = 0; n < 4; n++) d[n] *= (flat - 2.0f * k[n]) * rz[n];
                        }
                        store(arena + bent + at, d);
                    }
                    slope(l.activation, k);
#pragma unroll
                    for (u32 n = 0; n < 4; n++) rz[n] *= k[n];
                    store(arena + to + at, rz);
                });
            __syncthreads();
        }
    }

    // What it changes in the gradient at the sums of the last layers.
    INLINE void loss_tangents(const float* y, u32 all) const {
#pragma unroll 1
        for (u32 number = 0; number < a.heads; number++) {
            const Head h = head(number);
            if (!has(a.live, h.last)) continue;
            const Layer l = layer(h.last);
            const float *z = arena + forward() + l.a * panels, *from = arena + known(l), *ra = arena + tangent() + l.a * panels;
            float* rdz = arena + back_tangent() + l.a * panels;
            const u32 count = h.loss == CROSS_ENTROPY ? all : all * h.outputs, units = l.units();
            const float share = h.weight / float(count > 1 ? count : 1);
            if (h.loss == CROSS_ENTROPY) {
                const u32 lane = threadIdx.x % 32;
                for (u32 row = threadIdx.x / 32; row < 4 * panels; row += THREADS / 32) {
                    const float2 log = log_sum(z, row, l.out, h.outputs);
                    const bool real = row < rows;
                    const float* target = y + u64(row) * a.outputs + h.column;
                    float mass = 0.0f, mean = 0.0f;
                    if (real) {
                        for (u32 o = lane; o < h.outputs; o += 32) {
                            mass += target[o];
                            const u32 at = place(row, o, l.out);
                            mean += expf(z[at] - log.x - log.y) * ra[at];
                        }
                    }
                    mass = over_warp(mass);
                    mean = over_warp(mean);
                    for (u32 o = lane; o < units; o += 32) {
                        const bool counts = real && mass == mass && o < h.outputs;
                        const u32 at = place(row, o, l.out);
                        rdz[at] = counts ? mass * expf(z[at] - log.x - log.y) * (ra[at] - mean) * share : 0.0f;
                    }
                }
                continue;
            }
            for (u32 i = threadIdx.x; i < 4 * panels * units; i += THREADS) {
                const u32 row = i / units, o = i % units, at = place(row, o, l.out);
                float d = 0.0f;
                if (row < rows && o < h.outputs) {
                    const float target = y[u64(row) * a.outputs + h.column + o];
                    d = ra[at] * share;
                    if (target != target) {
                        d = 0.0f;
                    } else if (h.loss == MEAN_SQUARED) {
                        d *= 2.0f;
                    } else if (h.loss == HUBER) {
                        if (fabsf(z[at] - target) > h.delta) d = 0.0f;
                    } else {
                        const float p = sigmoid_of(z[at]);
                        d *= p * (1.0f - p);
                    }
                    if (l.activation != IDENTITY) d *= slope_of(l.activation, from[at]);
                    if (l.curved()) d += rdz[at];
                }
                rdz[at] = d;
            }
        }
    }

    // What it changes in the gradient at the sums of the layer before.
    INLINE void input_tangents(u32 number, const Layer& l, u32 step) const {
        const Layer s = layer(l.source);
        const bool each = a.rate == PER_PARAMETER, own = has(a.adapted, number);
        const u32 v = (each ? a.direction : a.lambda) + l.at;
        const float factor = each || !own ? 1.0f : -rate_of(step, number);
        const u32 from = known(s), rdz = back_tangent() + s.a * panels;
        const bool adds = l.head > a.first_head + 1 || (s.curved() && has(a.live, l.source));
        product<true, false, false>(map(number, INPUTS), arena, panels, (l.inputs + 3) / 4, l.units() / 4,
            {own ? backward() + l.a * panels : NONE, l.out, v, l.in}, factor,
            {back_tangent() + l.a * panels, l.out, l.at, l.in}, [&](u32 row, u32 m, u32 column, float (&d)[4]) {
                const u32 at = row * s.out + along(column) + 16 * m;
                float k[4], old[4] = {0.0f, 0.0f, 0.0f, 0.0f};
                load(arena + from + at, k);
                if (adds) load(arena + rdz + at, old);
                slope(s.activation, k);
#pragma unroll
                for (u32 n = 0; n < 4; n++) d[n] = old[n] + d[n] * k[n];
                store(arena + rdz + at, d);
            });
    }

    // lambda += H (-alpha * lambda), the derivative of a gradient along a direction (Pearlmutter 1994).
    INLINE void hessian(u32 step, const float* y, u32 all) const {
        tangents(step);
        loss_tangents(y, all);
        __syncthreads();
        u32 before = NONE;
#pragma unroll 1
        for (u32 at = 0; at <= a.layers; at++) {
            const u32 number = at < a.layers ? table[at * LAYER + 11] : NONE;
            if (at < a.layers && !has(a.moving, number)) continue;
            if (before != NONE) {
                const Layer l = layer(before);
                const u32 rx = tangent_below(l);
                weights(
                    before, l, {rx == NONE ? NONE : backward() + l.a * panels, l.out, rx, l.in},
                    {back_tangent() + l.a * panels, l.out, below(l), l.in},
                    [&](u32 row, u32 m, u32 column, float (&g)[4]) {
                        const u32 at = row * l.in + along(column) + 16 * m;
                        float w[4];
                        load(lambda() + l.at + at, w);
#pragma unroll
                        for (u32 n = 0; n < 4; n++) w[n] += g[n];
                        store(lambda() + l.at + at, w);
                    },
                    [&](u32 o, float g) { lambda()[l.bias() + o] += g; });
            }
            before = number;
            if (at == a.layers) break;
            const Layer l = layer(number);
            if (l.source != NONE) input_tangents(number, l, step);
            __syncthreads();
        }
    }
};

// The tasks of this block, one after another; `archive()` is where the archive begins.
template <class Archive>
INLINE void run(const Dense& a, float* shared, float* arena, const Archive& archive) {
    u32* table = reinterpret_cast<u32*>(shared);
    for (u32 i = threadIdx.x; i < a.layers * LAYER + a.heads * HEAD; i += THREADS) table[i] = a.table[i];
    const u32 steps = a.steps, length = a.segment, segments = (steps + length - 1) / length;
    const bool wanted = a.flags & GRADIENT, back = a.flags & BACK;
    const u32 slots = segments > 0 ? segments - 1 : 0;
    // Where the archive has the parameters at the start of a step of a segment, which is not the first of all: first those that segments
    // start from, then those within one.
    const auto kept = [&](u32 segment, u32 within) { return archive() + a.padded * (within == 0 ? segment - 1 : slots + within - 1); };
    const auto traces = [&](u32 within) { return archive() + a.archive_traces + a.archive_trace * within; };
    // As many panels as no task has: there are no maps yet.
    Block block{a, table, table + a.maps, shared + a.sums, arena, 0, NONE, 0.0f, 0.0f};
#pragma unroll 1
    for (u32 task = blockIdx.x; task < a.tasks; task += gridDim.x) {
        // Asked for where it is needed, rather than held in registers.
        const auto support = [&] { return rows_of(a.support_starts, task); };
        const auto query = [&] { return rows_of(a.query_starts, task); };
        const auto part = [&] { return a.parts + u64(task) * (a.param_count + a.rate_count); };
        block.loss = block.gathered = 0.0f;
        // Nobody is still at the task before, and the table is there.
        __syncthreads();
        block.load_params();
        if (wanted) {
            for (u32 i = threadIdx.x; i < a.rate_count; i += THREADS) part()[a.param_count + i] = 0.0f;
        }
        // First all steps and the query, then, from the last segment on: its steps again, but for the last segment, and back through them.
        const u32 parts = (query().count + a.query_rows - 1) / a.query_rows, rounds = back ? segments : 0;
#pragma unroll 1
        for (u32 round = 0; round <= rounds; round++) {
            // The segment of a step, and which step of it that is.
            u32 segment = round == 0 ? 0 : segments - round, within = 0;
            const u32 first = segment * length;
            const u32 count = round == 0 ? steps : min(length, steps - first);
            const u32 passes = round == 0 ? steps + max(parts, 1u) : round == 1 ? 0 : count;
            if (round > 0) {
                // The support is back in the arena; a segment begins where it began.
                block.rows = support().count;
                if (round == 1) block.load_rows(a.support_x + u64(support().first) * a.inputs);
                else if (first == 0) block.load_params();
                else copy(block.theta(), kept(segment, 0), a.padded);
                __syncthreads();
            }
#pragma unroll 1
            for (u32 pass = 0; pass < passes; pass++) {
                const u32 k = first + pass;
                const bool asks = round == 0 && pass >= steps;
                const u32 purpose = asks ? QUERY : round > 0 && pass + 1 == count ? TRACE : STEP;
                if (asks) {
                    // What the steps left there is of the support.
                    if (pass == steps) block.loss = 0.0f;
                    const u32 from = (pass - steps) * a.query_rows;
                    block.rows = min(a.query_rows, query().count - from);
                    block.load_rows(a.query_x + u64(query().first + from) * a.inputs);
                    __syncthreads();
                } else if (round == 0 && pass == 0) {
                    block.rows = support().count;
                    block.load_rows(a.support_x + u64(support().first) * a.inputs);
                    __syncthreads();
                }
                // Whether this segment is the one that is gone back through next.
                const bool last = round > 0 || segment + 1 == segments;
                if (back && !asks && k > 0 && (within == 0 ? round == 0 : last)) copy(kept(segment, within), block.theta(), a.padded);
                // What does not move need not be made again.
                block.forward(asks || (round == 0 && k == 0) ? ALL : a.live);
                const Span side = asks ? query() : support();
                const u32 from = side.first + (asks ? (pass - steps) * a.query_rows : 0);
                const float* y = (asks ? a.query_y : a.support_y) + u64(from) * a.outputs;
                block.losses(y, side.count, asks ? ALL : a.live, asks && !wanted);
                __syncthreads();
                if (asks && !wanted) continue;
                block.back(asks ? ALL : a.live, k, purpose, pass > steps);
                if (back && last && purpose == STEP) copy(traces(within), arena + block.forward(), 2 * a.width * block.panels);
                if (!asks && ++within == length && round == 0) within = 0, segment++;
                __syncthreads();
            }
            if (round == 0) {
                const float loss = sum_over_block(block.loss, block.sums);
                if (threadIdx.x == 0) a.losses[task] = loss;
                continue;
            }
#pragma unroll 1
            for (within = count; within-- > 0;) {
                const u32 k = first + within;
                // What the steps left behind last is still in the arena.
                if (round == 1 || within + 1 < count) {
                    if (k == 0) block.load_params();
                    else copy(block.theta(), kept(segment, within), a.padded);
                    copy(arena + block.forward(), traces(within), 2 * a.width * block.panels);
                }
                if (a.flags & SECOND && a.rate == PER_PARAMETER) block.direct();
                __syncthreads();
                if (a.flags & LEARN) block.gather_rates(k, part() + a.param_count);
                if (a.flags & SECOND) block.hessian(k, a.support_y + u64(support().first) * a.outputs, support().count);
                __syncthreads();
            }
        }
        if (!wanted) continue;
        for (u32 number = 0; number < a.layers; number++) {
            block.each_parameter(block.layer(number), [&](u32 at, u32 flat, bool real) {
                if (real) part()[flat] = block.lambda()[at];
            });
        }
        if (a.flags & LEARN && a.rate == CONSTANT) {
            const float sum = sum_over_block(block.gathered, block.sums);
            if (threadIdx.x == 0) part()[a.param_count] = sum;
        }
    }
}

// The arena in shared memory.
KERNEL(dense_shared, Dense, RESIDENT) {
    DYNAMIC_SHARED(shared);
    run(a, shared, shared + a.arena, [&] {
        return a.archive + (a.flags & ARCHIVE_SHARED ? shared : a.scratch + u64(blockIdx.x) * a.scratch_words);
    });
}

// The arena in global memory.
KERNEL(dense_global, Dense, RESIDENT) {
    DYNAMIC_SHARED(shared);
    float* slice = a.scratch + u64(blockIdx.x) * a.scratch_words;
    run(a, shared, slice, [&] { return slice + a.archive; });
}
