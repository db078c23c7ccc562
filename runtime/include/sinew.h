/*
 * sinew: adapts a trained model to the task in front of it, in memory of the caller. docs/c-api.md tells how to use it.
 *
 * An adapter lives in a block of memory that the caller gives. Nothing is allocated, nothing is global, no function blocks, logs, reads
 * a clock or unwinds. A function that returns a code other than SINEW_CODE_OK has done nothing, but for sinew_adapter_verify, which mends.
 * What a caller has to keep:
 *
 * - a pointer that is neither NULL nor misaligned points to as many values as the length beside it says;
 * - block and bundle stay where they are, and unchanged by others, for as long as the adapter is used;
 * - an adapter is used by one thread at a time; two adapters are independent of each other.
 */

#ifndef SINEW_H
#define SINEW_H

/* Made by cbindgen from runtime/src/c_api: change it there, then run runtime/c/check-header.sh --write. */

#include <stddef.h>
#include <stdint.h>

/**
 * Version of the ABI. It changes when a function, a number or a struct changes that was there before, and not when something is added.
 */
#define SINEW_ABI_VERSION 1

/**
 * What became of a call: 0, or why it was not done. A hundred numbers are kept for each kind of reason; a number never changes its
 * meaning, and later versions may return new ones.
 */
enum sinew_code
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * It was done.
     */
    SINEW_CODE_OK = 0,
    /**
     * A pointer is NULL.
     */
    SINEW_CODE_NULL_POINTER = 1,
    /**
     * A pointer is no multiple of the alignment of what it should point to.
     */
    SINEW_CODE_MISALIGNED = 2,
    /**
     * An array has another length than the network asks for, or one that no array can have.
     */
    SINEW_CODE_LENGTH = 3,
    /**
     * The block holds no adapter: sinew_adapter_init has not succeeded on it, or it was moved or overwritten since.
     */
    SINEW_CODE_NOT_INITIALISED = 4,
    /**
     * The adapter is adapting: it was called from its own deadline callback, or from another thread.
     */
    SINEW_CODE_IN_USE = 5,
    /**
     * The block is smaller than sinew_adapter_size says.
     */
    SINEW_CODE_BLOCK_TOO_SMALL = 6,
    /**
     * Arrays overlap where they must not: with the block, or what is read with what is written.
     */
    SINEW_CODE_OVERLAP = 7,
    /**
     * This is no value of sinew_guard.
     */
    SINEW_CODE_UNKNOWN_GUARD = 8,
    /**
     * The guard cannot hold back so many rows: SINEW_GUARD_HELD_BACK takes 1 to one less than there is room for, another guard 0.
     */
    SINEW_CODE_HELD_BACK = 9,
    /**
     * The trust radius is NaN or below 0.
     */
    SINEW_CODE_TRUST_RADIUS = 10,
    /**
     * The file is shorter than the header that it announces.
     */
    SINEW_CODE_BUNDLE_HEADER = 100,
    /**
     * The header is not UTF-8.
     */
    SINEW_CODE_BUNDLE_UTF8 = 101,
    /**
     * The header is not the JSON of a .safetensors file.
     */
    SINEW_CODE_BUNDLE_JSON = 102,
    /**
     * The entry of a tensor lacks dtype, shape or two data_offsets.
     */
    SINEW_CODE_BUNDLE_ENTRY = 103,
    /**
     * A tensor does not lie within the data.
     */
    SINEW_CODE_BUNDLE_BOUNDS = 104,
    /**
     * The file is no sinew bundle.
     */
    SINEW_CODE_BUNDLE_NO_METADATA = 105,
    /**
     * The metadata is there twice.
     */
    SINEW_CODE_BUNDLE_METADATA_TWICE = 106,
    /**
     * The metadata is too long.
     */
    SINEW_CODE_BUNDLE_METADATA_TOO_LONG = 107,
    /**
     * The metadata is not JSON, or has no format.
     */
    SINEW_CODE_BUNDLE_METADATA_JSON = 108,
    /**
     * The bundle has a version of the format that this library cannot read.
     */
    SINEW_CODE_BUNDLE_FORMAT = 109,
    /**
     * The network or the rule has a part that this library does not know.
     */
    SINEW_CODE_BUNDLE_UNKNOWN = 110,
    /**
     * A tensor is missing.
     */
    SINEW_CODE_BUNDLE_MISSING = 111,
    /**
     * A tensor is there twice.
     */
    SINEW_CODE_BUNDLE_TWICE = 112,
    /**
     * A tensor has other values than F32, F16 or BF16.
     */
    SINEW_CODE_BUNDLE_DTYPE = 113,
    /**
     * A tensor has another shape than the network and the rule ask for.
     */
    SINEW_CODE_BUNDLE_SHAPE = 114,
    /**
     * A tensor has another number of bytes than its shape and type make.
     */
    SINEW_CODE_BUNDLE_SIZE = 115,
    /**
     * A value of a tensor is not finite, or is a scale that is not above 0.
     */
    SINEW_CODE_BUNDLE_VALUE = 116,
    /**
     * The network: an input or a layer has no values or too many.
     */
    SINEW_CODE_NETWORK_UNITS = 200,
    /**
     * The network: too many layers or heads.
     */
    SINEW_CODE_NETWORK_TOO_MANY = 201,
    /**
     * The network: no head.
     */
    SINEW_CODE_NETWORK_NO_HEAD = 202,
    /**
     * The network: a head has a name that cannot be.
     */
    SINEW_CODE_NETWORK_HEAD_NAME = 203,
    /**
     * The network: two heads have one name.
     */
    SINEW_CODE_NETWORK_HEAD_TWICE = 204,
    /**
     * The network: a head does not end in a dense layer.
     */
    SINEW_CODE_NETWORK_HEAD_END = 205,
    /**
     * The network: a head with a classification loss ends in an activation.
     */
    SINEW_CODE_NETWORK_NOT_LOGITS = 206,
    /**
     * The network: a Huber delta is not a positive number.
     */
    SINEW_CODE_NETWORK_HUBER_DELTA = 207,
    /**
     * The network: the weight of a head's loss is not a number from 0 up.
     */
    SINEW_CODE_NETWORK_HEAD_WEIGHT = 208,
    /**
     * The network: the input has not as many values as its image, or is presented in both forms.
     */
    SINEW_CODE_NETWORK_IMAGE = 209,
    /**
     * The network: a layer cannot take what comes to it.
     */
    SINEW_CODE_NETWORK_LAYER = 210,
    /**
     * The network: too many parameters.
     */
    SINEW_CODE_NETWORK_PARAMETERS = 211,
    /**
     * The rule: expected 1 to 1000 inner steps.
     */
    SINEW_CODE_RULE_STEPS = 300,
    /**
     * The rule: no layer with parameters is to be adapted.
     */
    SINEW_CODE_RULE_NOTHING_TO_ADAPT = 301,
    /**
     * The rule: a layer is to be adapted that the network does not have.
     */
    SINEW_CODE_RULE_NO_SUCH_LAYER = 302,
    /**
     * The rule: too many hidden units in the LSTM.
     */
    SINEW_CODE_RULE_HIDDEN = 303,
    /**
     * The rule: a closed form on too many features.
     */
    SINEW_CODE_RULE_FEATURES = 304,
    /**
     * The rule: no classes, or too many.
     */
    SINEW_CODE_RULE_CLASSES = 305,
    /**
     * The rule: it takes a network with one head (of one output, for similarities).
     */
    SINEW_CODE_RULE_ONE_HEAD = 306,
    /**
     * The rule: it takes heads of one dense layer without activation.
     */
    SINEW_CODE_RULE_HEAD_NOT_LINEAR = 307,
    /**
     * Set-up: expected room for at least 1 support row, and for so few that they fit the address space.
     */
    SINEW_CODE_SETUP_CAPACITY = 400,
    /**
     * Set-up: a tensor of the bundle has another length than its network says.
     */
    SINEW_CODE_SETUP_TENSOR_LENGTH = 401,
    /**
     * Set-up: the library was built without the kind of a layer.
     */
    SINEW_CODE_SETUP_LAYER_LEFT_OUT = 402,
    /**
     * Set-up: the library was built without the rule, or its numbers cannot be worked with.
     */
    SINEW_CODE_SETUP_RULE = 403,
    /**
     * Observing: a value is NaN or infinite.
     */
    SINEW_CODE_OBSERVE_NOT_FINITE = 500,
    /**
     * Observing: no head of the network is labelled.
     */
    SINEW_CODE_OBSERVE_NO_HEAD = 501,
    /**
     * Observing: a label is missing, and the rule of the bundle fits all heads to the same rows.
     */
    SINEW_CODE_OBSERVE_ALL_HEADS = 502,
    /**
     * Adapting: there are no support rows, or none besides those that are held back.
     */
    SINEW_CODE_ADAPT_NO_SUPPORT = 600,
    /**
     * Adapting: no head has a label besides those that are held back.
     */
    SINEW_CODE_ADAPT_NO_LABELS = 601,
    /**
     * Adapting: SINEW_GUARD_EACH_HEAD is for rules that take gradient steps, and that of the bundle takes none.
     */
    SINEW_CODE_ADAPT_GUARD_OF_STEPS = 602,
    /**
     * Predicting: the rule of the bundle knows no variance; a Bayesian one does.
     */
    SINEW_CODE_PREDICT_NO_VARIANCE = 700,
    /**
     * Verifying: the parameters were changed by something other than an adaptation; the meta-learned start is back.
     */
    SINEW_CODE_VERIFY_CORRUPTED = 800,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum sinew_code sinew_code;
#else
typedef int32_t sinew_code;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What became of an adaptation. Later versions may report new values; all but SINEW_OUTCOME_COMMITTED leave the parameters as they were.
 */
enum sinew_outcome
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * The adapted parameters predict from now on.
     */
    SINEW_OUTCOME_COMMITTED = 0,
    /**
     * The deadline came before there was anything to judge; parameters are as they were.
     */
    SINEW_OUTCOME_OUT_OF_TIME = 1,
    /**
     * A loss or a parameter was not finite; parameters are as they were.
     */
    SINEW_OUTCOME_NOT_FINITE = 2,
    /**
     * The loss did not get better; parameters are as they were.
     */
    SINEW_OUTCOME_WORSE = 3,
    /**
     * It went farther than the trust radius; parameters are as they were.
     */
    SINEW_OUTCOME_OUTSIDE_TRUST = 4,
    /**
     * There was no sample that the rule has not worked in before; nothing was tried.
     */
    SINEW_OUTCOME_NOTHING_NEW = 5,
    /**
     * It is being waited for samples after a return to the start; nothing was tried.
     */
    SINEW_OUTCOME_RECOVERING = 6,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum sinew_outcome sinew_outcome;
#else
typedef int32_t sinew_outcome;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * When an adaptation is committed.
 */
enum sinew_guard
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * All parameters and losses are finite.
     */
    SINEW_GUARD_FINITE = 0,
    /**
     * And it has a lower loss on the support rows than the meta-learned start: of all steps the one with the lowest loss is committed. This
     * is the default.
     */
    SINEW_GUARD_IMPROVE = 1,
    /**
     * As SINEW_GUARD_IMPROVE, on the newest support rows, which are held back from learning.
     */
    SINEW_GUARD_HELD_BACK = 2,
    /**
     * As SINEW_GUARD_IMPROVE, but of each head the newest labels judge and are not learned from, or all where none are held back, and no
     * head may get worse by the labels that judge it. For rules that take gradient steps.
     */
    SINEW_GUARD_EACH_HEAD = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum sinew_guard sinew_guard;
#else
typedef int32_t sinew_guard;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Some of the heads of a network, by their numbers in it.
 */
typedef struct HeadSet HeadSet;

/**
 * An adapter in a block of the caller: opaque. The block has room for it and, behind it, for all values that it works on.
 */
typedef struct sinew_adapter sinew_adapter;

/**
 * Asked before each unit of work, with the context that was given to sinew_adapter_adapt: anything but 0 ends the adaptation. It must
 * return: no exception and no longjmp may leave it.
 */
typedef int (*sinew_until)(void *context);

/**
 * What an adaptation did: 64 bytes.
 */
typedef struct sinew_report {
    /**
     * What became of it.
     */
    sinew_outcome outcome;
    /**
     * Inner steps that led to the parameters that were committed, or that were tried if none were; for the rules that take no steps,
     * samples that were worked in.
     */
    uint32_t steps;
    /**
     * Loss of the meta-learned start on the rows that judge, summed over heads with their weights; NaN if it was not reached.
     */
    float loss_before;
    /**
     * Loss of what was committed, or of what was tried last; with SINEW_GUARD_FINITE, that before the last step.
     */
    float loss_after;
    /**
     * 1 if refusals used up the patience, so that the meta-learned start is back; 0 otherwise.
     */
    uint32_t rolled_back;
    /**
     * For what later versions report; 0.
     */
    uint32_t reserved[11];
} sinew_report;

/**
 * How new the inputs of a task are: 12 bytes.
 */
typedef struct sinew_novelty {
    /**
     * The mean square of the support inputs as they are presented, 1 on average over training; NaN without support rows.
     */
    float score;
    /**
     * Its median over training tasks; NaN if the bundle does not know it.
     */
    float median;
    /**
     * Its 99th percentile over training tasks: a score above it is rarer than one task in a hundred; NaN if the bundle does not know it.
     */
    float limit;
} sinew_novelty;

/**
 * What work costs at most, in multiply-adds of products and convolutions: 64 bytes. The numbers depend on the bundle, the capacity, the
 * steps and the guard, never on the data.
 */
typedef struct sinew_budget {
    /**
     * Of one predicted row.
     */
    uint64_t prediction;
    /**
     * Of one adaptation with a full support ring, of which all samples are new.
     */
    uint64_t adaptation;
    /**
     * Units of work of such an adaptation: before each of them the deadline callback is asked.
     */
    uint64_t units;
    /**
     * Of the largest unit of work: what a deadline may be passed by.
     */
    uint64_t unit;
    /**
     * Rows of one unit of work over layers that stay as they are, and of a prediction of many rows.
     */
    uint64_t unit_rows;
    /**
     * Rows of one unit of work over what is adapted.
     */
    uint64_t unit_rows_behind;
    /**
     * For what later versions tell; 0.
     */
    uint64_t reserved[2];
} sinew_budget;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The ABI version of the library: compare it with SINEW_ABI_VERSION, that of the header.
 */
uint32_t sinew_abi_version(void);

/**
 * What a code says, in one line of English that is never freed. "unknown code" for a number that is no code.
 */
const char *sinew_error_text(int32_t code);

/**
 * Checks a bundle of bundle_len bytes, and writes what is wrong with it, in detail, to text: at most text_len bytes with the 0 at the
 * end, which is always there; an empty text if nothing is wrong. For set-up and for people: the codes are what programs read.
 */
sinew_code sinew_bundle_check(const uint8_t *bundle,
                              size_t bundle_len,
                              char *text,
                              size_t text_len);

/**
 * Tells the bytes of the block that an adapter needs, and the alignment of its first byte, for a bundle of bundle_len bytes and room
 * for capacity support rows. On another processor it may need more, for its vectors.
 */
sinew_code sinew_adapter_size(const uint8_t *bundle,
                              size_t bundle_len,
                              size_t capacity,
                              size_t *size,
                              size_t *align);

/**
 * Sets up an adapter of a bundle in a block, and writes where it is to adapter; NULL if it fails. There is nothing to free but the
 * block. An adapter cannot be copied or moved: the block must stay where it is.
 *
 * The adapter reads the bundle for as long as it is used: the bytes must stay, unchanged. Never from a deadline callback of an
 * adapter in the same block.
 */
sinew_code sinew_adapter_init(void *block,
                              size_t block_size,
                              const uint8_t *bundle,
                              size_t bundle_len,
                              size_t capacity,
                              struct sinew_adapter **adapter);

/**
 * Puts one labelled sample into the support ring: x of sinew_adapter_input_len and y of sinew_adapter_output_len values, in the units of
 * the bundle; a class is a row of zeros with a one. The oldest sample leaves if there is no room. Of a refused sample nothing is kept.
 */
sinew_code sinew_adapter_observe(struct sinew_adapter *adapter,
                                 const float *x,
                                 size_t x_len,
                                 const float *y,
                                 size_t y_len);

/**
 * As sinew_adapter_observe, of a sample that carries the labels of some heads only: bit i of labelled is for head i of the bundle, in the
 * order of the outputs. What y has in the columns of the others is not looked at.
 */
sinew_code sinew_adapter_observe_heads(struct sinew_adapter *adapter,
                                       const float *x,
                                       size_t x_len,
                                       const float *y,
                                       size_t y_len,
                                       uint32_t labelled);

/**
 * Fits the network to the support rows, from the meta-learned start, and commits the result if the guard lets it; report tells.
 *
 * until is asked before each unit of work, whose cost is fixed (sinew_adapter_budget), and ends the adaptation: of what was judged so
 * far the best is committed, or nothing. NULL does all of the work. All or nothing: whatever happens, predictions come from whole, finite, accepted parameters. An update
 * that the guard refuses is no error: the outcome says so. While it runs, every call on this adapter is refused, until's too.
 */
sinew_code sinew_adapter_adapt(struct sinew_adapter *adapter,
                               sinew_until until,
                               void *context,
                               struct sinew_report *report);

/**
 * Predicts for one input row or several, x [rows, input_len], into y [rows, output_len]: values in the units of the bundle, or
 * probabilities for classes. x_len and y_len count values, not rows. x and y must not overlap.
 */
sinew_code sinew_adapter_predict(struct sinew_adapter *adapter,
                                 const float *x,
                                 size_t x_len,
                                 float *y,
                                 size_t y_len);

/**
 * As sinew_adapter_predict, with the variance of each prediction, noise included, in squares of the bundle's units: variance
 * [rows, output_len]. No two of x, y and variance may overlap.
 */
sinew_code sinew_adapter_predict_with_variance(struct sinew_adapter *adapter,
                                               const float *x,
                                               size_t x_len,
                                               float *y,
                                               size_t y_len,
                                               float *variance,
                                               size_t variance_len);

/**
 * The loss of the parameters that predict now, on the support rows, summed over heads with their weights; NaN for similarities, which
 * have none.
 */
sinew_code sinew_adapter_support_loss(struct sinew_adapter *adapter,
                                      float *loss);

/**
 * How far the support inputs are from what the bundle was trained on. What is not known is NaN.
 */
sinew_code sinew_adapter_novelty(struct sinew_adapter *adapter, struct sinew_novelty *novelty);

/**
 * What adaptation and prediction cost at most, with the steps and the guard that are set.
 */
sinew_code sinew_adapter_budget(struct sinew_adapter *adapter, struct sinew_budget *budget);

/**
 * Whether the parameters that predict are, to the bit, those that were committed. If not, the meta-learned start is brought back from the
 * bundle, and SINEW_CODE_VERIFY_CORRUPTED says so. For where memory can be disturbed: it reads every parameter once.
 */
sinew_code sinew_adapter_verify(struct sinew_adapter *adapter);

/**
 * Back to the meta-learned start; the support rows stay, unless a recovery is set that asks for new ones.
 */
sinew_code sinew_adapter_rollback(struct sinew_adapter *adapter);

/**
 * A new task: back to the meta-learned start, without support rows.
 */
sinew_code sinew_adapter_reset(struct sinew_adapter *adapter);

/**
 * Takes 1 to 1000 inner steps from now on, instead of as many as the bundle says.
 */
sinew_code sinew_adapter_set_steps(struct sinew_adapter *adapter, uint32_t steps);

/**
 * Commits adaptations as guard says from now on: a value of sinew_guard. With SINEW_GUARD_HELD_BACK, held_back newest support rows
 * judge and are not learned from: 1 to one less than there is room for. With SINEW_GUARD_EACH_HEAD, the held_back newest labels of each head:
 * 0, for all of them to judge and to be learned from, to one less than there is room for. 0 with another guard.
 */
sinew_code sinew_adapter_set_guard(struct sinew_adapter *adapter,
                                   int32_t guard,
                                   size_t held_back);

/**
 * Bounds adaptations from now on. trust_radius: the longest way from the meta-learned start, the root of the summed squares of what the
 * parameters changed by, that is committed; INFINITY, as at first, for no limit. patience: so many refused adaptations in a row bring the
 * start back; 0, as at first, for never. recovery: after a return to the start the support rows are forgotten, and so many new ones are
 * waited for before adapting again; 0, as at first, keeps the rows and goes on at once.
 */
sinew_code sinew_adapter_set_limits(struct sinew_adapter *adapter,
                                    float trust_radius,
                                    uint32_t patience,
                                    size_t recovery);

/**
 * Values in one input row; 0 where another function would refuse the adapter.
 */
size_t sinew_adapter_input_len(const struct sinew_adapter *adapter);

/**
 * Values in one output row; 0 where another function would refuse the adapter.
 */
size_t sinew_adapter_output_len(const struct sinew_adapter *adapter);

/**
 * Support rows that it has room for; 0 where another function would refuse the adapter.
 */
size_t sinew_adapter_capacity(const struct sinew_adapter *adapter);

/**
 * Support rows that it holds; 0 also where another function would refuse the adapter.
 */
size_t sinew_adapter_support_rows(const struct sinew_adapter *adapter);

/**
 * Inner steps that sinew_adapter_adapt takes; 0 where another function would refuse the adapter.
 */
uint32_t sinew_adapter_steps(const struct sinew_adapter *adapter);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SINEW_H */
