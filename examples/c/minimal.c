/*
 * The whole of it in C11: load a bundle, observe, adapt until a deadline, predict, roll back.
 *
 *   minimal examples/bundles/terrain.safetensors
 */
#define _POSIX_C_SOURCE 199309L

#include <math.h>
#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <sinew.h>

enum { INPUTS = 10, OUTPUTS = 1, ROWS = 8, CAPACITY = 16 };

/*
 * Eight edges that a rover has driven, most of them downhill: what its sensors said (grade, side slope, wetness, roughness, steps and the
 * shares of rock, gravel, grass, loam and sand), and the log of the energy per metre that it measured, ln(J/m).
 */
static const float DRIVEN[ROWS][INPUTS] = {
    {-0.02F, -0.34F, 0.26F, 0.11F, -0.52F, 0.31F, 0.00F, 0.04F, 1.04F, 0.11F},
    {0.11F, -0.18F, 0.27F, 0.23F, -0.71F, 0.04F, 0.04F, 1.09F, 0.21F, 0.11F},
    {-0.62F, -0.08F, 0.45F, 0.38F, -0.14F, 0.00F, 0.00F, 1.47F, 0.03F, 0.00F},
    {-0.55F, -0.15F, 0.46F, 0.71F, -0.60F, 0.00F, 0.00F, 1.50F, 0.00F, 0.00F},
    {-0.71F, -0.53F, 0.43F, 0.03F, -0.39F, 0.00F, 0.16F, 1.31F, 0.03F, 0.00F},
    {-0.58F, 0.12F, 0.44F, 0.33F, 0.21F, 0.00F, 1.26F, 0.24F, 0.00F, 0.00F},
    {-1.18F, 0.24F, 0.61F, 0.12F, -0.16F, 0.00F, 1.47F, 0.00F, 0.00F, 0.03F},
    {-0.70F, 0.33F, 0.96F, -0.46F, -0.21F, 0.00F, 1.26F, 0.00F, 0.00F, 0.24F},
};
static const float ENERGY[ROWS] = {5.64F, 5.64F, 4.88F, 5.04F, 4.91F, 4.92F, 4.76F, 4.94F};

/* An edge on another map of the site: uphill, over grass and loam. It takes 672 J/m. */
static const float AHEAD[INPUTS] = {1.29F, -0.12F, -0.29F, -1.46F, -0.75F, 0.04F, 0.00F, 0.52F, 0.95F, 0.00F};

/* Ends the program where a call did not return what it should. */
static void expect(sinew_code expected, sinew_code got, const char *what) {
    if (got != expected) {
        fprintf(stderr, "%s: expected %d, got %d: %s\n", what, (int)expected, (int)got, sinew_error_text(got));
        exit(EXIT_FAILURE);
    }
}

/* The bytes of a whole file. */
static uint8_t *read_file(const char *path, size_t *len) {
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
        perror(path);
        exit(EXIT_FAILURE);
    }
    long end = ftell(file);
    uint8_t *bytes = end < 0 ? NULL : malloc((size_t)end + 1);
    rewind(file);
    if (bytes == NULL || fread(bytes, 1, (size_t)end, file) != (size_t)end) {
        perror(path);
        exit(EXIT_FAILURE);
    }
    fclose(file);
    *len = (size_t)end;
    return bytes;
}

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int is_over(void *deadline_ns) {
    return now_ns() >= *(const int64_t *)deadline_ns;
}

int main(int count, char **arguments) {
    if (count != 2 || sinew_abi_version() != SINEW_ABI_VERSION) {
        fprintf(stderr, "expected the path of a bundle, and a library of ABI version %d\n", SINEW_ABI_VERSION);
        return EXIT_FAILURE;
    }

    /* Set-up: the only part that may take memory. On a device, block and bundle are static. */
    size_t bundle_len;
    uint8_t *bundle = read_file(arguments[1], &bundle_len);
    char why[200];
    if (sinew_bundle_check(bundle, bundle_len, why, sizeof why) != SINEW_CODE_OK) {
        fprintf(stderr, "%s: %s\n", arguments[1], why);
        return EXIT_FAILURE;
    }
    size_t size;
    size_t align;
    expect(SINEW_CODE_OK, sinew_adapter_size(bundle, bundle_len, CAPACITY, &size, &align), "size");
    if (align > alignof(max_align_t)) {
        return EXIT_FAILURE;
    }
    void *block = malloc(size);
    sinew_adapter *adapter;
    expect(SINEW_CODE_OK, sinew_adapter_init(block, size, bundle, bundle_len, CAPACITY, &adapter), "init");
    if (sinew_adapter_input_len(adapter) != INPUTS || sinew_adapter_output_len(adapter) != OUTPUTS) {
        fprintf(stderr, "expected a network of %d inputs and %d output\n", INPUTS, OUTPUTS);
        return EXIT_FAILURE;
    }

    /* Known before the first sample: how often the deadline is asked for, and by how much it may be passed. */
    sinew_budget budget;
    expect(SINEW_CODE_OK, sinew_adapter_budget(adapter, &budget), "budget");
    printf("at most %llu multiply-adds in %llu units, %llu in one of them\n", (unsigned long long)budget.adaptation,
           (unsigned long long)budget.units, (unsigned long long)budget.unit);

    float before;
    expect(SINEW_CODE_OK, sinew_adapter_predict(adapter, AHEAD, INPUTS, &before, OUTPUTS), "predict");
    sinew_report report;
    expect(SINEW_CODE_ADAPT_NO_SUPPORT, sinew_adapter_adapt(adapter, NULL, NULL, &report), "adapt to nothing");

    for (size_t row = 0; row < ROWS; row++) {
        expect(SINEW_CODE_OK, sinew_adapter_observe(adapter, DRIVEN[row], INPUTS, &ENERGY[row], OUTPUTS), "observe");
    }
    /* A sensor that fails: refused, and nothing is kept of it. */
    const float broken = NAN;
    expect(SINEW_CODE_OBSERVE_NOT_FINITE, sinew_adapter_observe(adapter, AHEAD, INPUTS, &broken, OUTPUTS), "observe NaN");
    expect(SINEW_CODE_LENGTH, sinew_adapter_observe(adapter, AHEAD, INPUTS - 1, &before, OUTPUTS), "observe 9 values");
    expect(SINEW_CODE_NULL_POINTER, sinew_adapter_observe(adapter, NULL, INPUTS, &before, OUTPUTS), "observe NULL");
    if (sinew_adapter_support_rows(adapter) != ROWS) {
        return EXIT_FAILURE;
    }

    /* A deadline that has passed leaves everything as it was; with all the time there is, all steps are taken. */
    int64_t deadline = now_ns();
    expect(SINEW_CODE_OK, sinew_adapter_adapt(adapter, is_over, &deadline, &report), "adapt too late");
    if (report.outcome != SINEW_OUTCOME_OUT_OF_TIME) {
        return EXIT_FAILURE;
    }
    int64_t begun = now_ns();
    deadline = begun + 1000000000;
    expect(SINEW_CODE_OK, sinew_adapter_adapt(adapter, is_over, &deadline, &report), "adapt");
    int64_t took = now_ns() - begun;
    if (report.outcome != SINEW_OUTCOME_COMMITTED) {
        fprintf(stderr, "the adaptation was not committed: outcome %d\n", (int)report.outcome);
        return EXIT_FAILURE;
    }

    expect(SINEW_CODE_OK, sinew_adapter_verify(adapter), "verify");
    float after;
    expect(SINEW_CODE_OK, sinew_adapter_predict(adapter, AHEAD, INPUTS, &after, OUTPUTS), "predict");
    float back;
    expect(SINEW_CODE_OK, sinew_adapter_rollback(adapter), "roll back");
    expect(SINEW_CODE_OK, sinew_adapter_predict(adapter, AHEAD, INPUTS, &back, OUTPUTS), "predict");
    printf("%u steps in %.1f us, support loss %.3f -> %.3f\n", (unsigned)report.steps, (double)took / 1000.0,
           (double)report.loss_before, (double)report.loss_after);
    printf("energy of the edge ahead: %.0f -> %.0f J/m, in truth 672\n", exp((double)before), exp((double)after));

    free(block);
    free(bundle);
    return back == before && after != before ? EXIT_SUCCESS : EXIT_FAILURE;
}
