// A control loop at 1 kHz in C++17: it predicts at every tick, observes at the end of each edge, and adapts within a budget.
//
//   control_loop examples/bundles/terrain.safetensors
//
// The rover is a stand-in whose ground gets heavier halfway; examples/examples/terrain_rover.rs drives on simulated terrain.

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <sinew.hpp>

namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr std::size_t INPUTS = 10;
constexpr std::size_t CAPACITY = 16;
constexpr auto PERIOD = 1ms;
constexpr auto BUDGET = 200us;
constexpr int TICKS = 600;
constexpr int TICKS_PER_EDGE = 20;
constexpr int TICKS_PER_CHECK = 100;
// After so many refusals in a row, what was learned and what it was learned from is given up, and so many new samples are waited for.
constexpr std::uint32_t PATIENCE = 5;
constexpr std::size_t RECOVERY = 3;
constexpr auto NO_RADIUS = std::numeric_limits<float>::infinity();

using Features = std::array<float, INPUTS>;

void expect(sinew_code expected, sinew_code got, const char* what) {
    if (got != expected) {
        throw std::runtime_error(std::string(what) + ": " + sinew_error_text(got));
    }
}

// What the sensors say of an edge, and the log of the energy that it takes.
class Rover {
public:
    Features sense() {
        Features features{};
        std::generate(features.begin(), features.end(), [this] { return uniform_(random_); });
        return features;
    }

    static float energy(const Features& features, bool heavy) { return 5.2F + 0.5F * features[0] + (heavy ? 0.8F : 0.0F); }

private:
    std::mt19937 random_{7};
    std::uniform_real_distribution<float> uniform_{-1.0F, 1.0F};
};

void drive(sinew::Adapter& adapter) {
    Rover rover;
    Features edge = rover.sense();
    std::array<float, 1> predicted{};
    std::vector<double> errors;
    std::vector<Clock::duration> work;
    work.reserve(TICKS);
    int committed = 0;
    int refused = 0;
    expect(SINEW_CODE_OK, adapter.set_guard(SINEW_GUARD_IMPROVE), "set the guard");
    expect(SINEW_CODE_OK, adapter.set_limits(NO_RADIUS, PATIENCE, RECOVERY), "set the limits");

    auto tick = Clock::now();
    for (int i = 1; i <= TICKS; ++i) {
        const auto begun = Clock::now();
        expect(SINEW_CODE_OK, adapter.predict(edge, predicted), "predict");
        if (i % TICKS_PER_EDGE == 0) {
            const std::array<float, 1> measured{Rover::energy(edge, i > TICKS / 2)};
            errors.push_back(std::abs(static_cast<double>(predicted[0]) - static_cast<double>(measured[0])));
            expect(SINEW_CODE_OK, adapter.observe(edge, measured), "observe");
            sinew_report report;
            expect(SINEW_CODE_OK, adapter.adapt(sinew::Deadline::in(BUDGET), report), "adapt");
            ++(report.outcome == SINEW_OUTCOME_COMMITTED ? committed : refused);
            edge = rover.sense();
        }
        if (i % TICKS_PER_CHECK == 0) {
            expect(SINEW_CODE_OK, adapter.verify(), "verify the parameters");
        }
        work.push_back(Clock::now() - begun);
        tick += PERIOD;
        std::this_thread::sleep_until(tick);
    }

    std::sort(work.begin(), work.end());
    const auto us = [](Clock::duration d) { return std::chrono::duration<double, std::micro>(d).count(); };
    double sum = 0.0;
    for (const double error : errors) {
        sum += error;
    }
    sinew_novelty novelty;
    expect(SINEW_CODE_OK, adapter.novelty(novelty), "novelty");
    std::printf("novelty of the last %zu samples: %.2f, 1 on average over training\n", adapter.support_rows(),
                static_cast<double>(novelty.score));
    std::printf("%d ticks: work p50 %.1f us, max %.1f us; %d adaptations committed, %d not; mean error of log energy %.2f\n", TICKS,
                us(work[work.size() / 2]), us(work.back()), committed, refused, sum / static_cast<double>(errors.size()));
}

// What goes wrong is a code, and leaves the adapter as it was.
void misuse(sinew::Adapter& adapter) {
    const Features x{};
    std::array<float, 1> before{};
    std::array<float, 1> after{};
    // Without a recovery, the support rows stay.
    expect(SINEW_CODE_OK, adapter.set_limits(NO_RADIUS, 0, 0), "no limits");
    expect(SINEW_CODE_OK, adapter.rollback(), "roll back");
    expect(SINEW_CODE_OK, adapter.predict(x, before), "predict");
    const std::array<float, 1> broken{std::numeric_limits<float>::quiet_NaN()};
    expect(SINEW_CODE_OBSERVE_NOT_FINITE, adapter.observe(x, broken), "observe NaN");
    expect(SINEW_CODE_LENGTH, adapter.observe(before, before), "observe 1 value");
    expect(SINEW_CODE_OVERLAP, adapter.predict(sinew::Values(before.data(), 1), before), "predict in place");
    expect(SINEW_CODE_RULE_STEPS, adapter.set_steps(0), "no steps");
    expect(SINEW_CODE_HELD_BACK, adapter.set_guard(SINEW_GUARD_HELD_BACK, CAPACITY), "hold all rows back");
    expect(SINEW_CODE_TRUST_RADIUS, adapter.set_limits(-1.0F, 0, 0), "a radius below 0");
    // Gradient descent knows no variance.
    expect(SINEW_CODE_PREDICT_NO_VARIANCE, adapter.predict_with_variance(x, before, after), "predict with variance");
    // A callback cannot use the adapter that asks it.
    sinew_report report;
    sinew_code inner = SINEW_CODE_OK;
    expect(SINEW_CODE_OK, adapter.adapt([&] { inner = adapter.reset(); return true; }, report), "adapt");
    expect(SINEW_CODE_IN_USE, inner, "reset from the callback");
    expect(SINEW_CODE_OK, adapter.predict(x, after), "predict");
    if (before != after) {
        throw std::runtime_error("a refused call changed the adapter");
    }
    // Bundle and block move with their owner.
    sinew::Adapter owner = std::move(adapter);
    expect(SINEW_CODE_OK, owner.predict(x, after), "predict after a move");
    expect(SINEW_CODE_NULL_POINTER, adapter.reset(), "use what was moved away");
    adapter = std::move(owner);
    expect(SINEW_CODE_OK, adapter.reset(), "reset");
    try {
        sinew::Adapter refused(std::vector<std::uint8_t>(100), CAPACITY);
        throw std::runtime_error("zeros passed for a bundle");
    } catch (const sinew::SetupError& error) {
        std::printf("zeros are no bundle: code %d, %s\n", static_cast<int>(error.code()), error.what());
    }
}

}  // namespace

int main(int count, char** arguments) {
    try {
        if (count != 2) {
            throw std::runtime_error("expected the path of a bundle");
        }
        sinew::Adapter adapter(sinew::read_file(arguments[1]), CAPACITY);
        if (adapter.input_len() != INPUTS || adapter.output_len() != 1) {
            throw std::runtime_error("expected a network of 10 inputs and 1 output");
        }
        drive(adapter);
        misuse(adapter);
        return EXIT_SUCCESS;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return EXIT_FAILURE;
    }
}
