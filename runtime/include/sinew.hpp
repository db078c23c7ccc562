// sinew for C++17: what sinew.h declares, with an owner for bundle and block. docs/c-api.md tells how to use it.
#ifndef SINEW_HPP
#define SINEW_HPP

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "sinew.h"

namespace sinew {

// Why an adapter could not be set up. Thrown by Adapter's constructor, and by nothing else.
class SetupError : public std::runtime_error {
public:
    SetupError(sinew_code code, const std::string& text) : std::runtime_error(text), code_(code) {}

    sinew_code code() const noexcept { return code_; }

private:
    sinew_code code_;
};

// Numbers to read: made of whatever has data() and size(), such as std::vector, std::array, an array, Eigen's vectors.
class Values {
public:
    Values(const float* data, std::size_t size) noexcept : data_(data), size_(size) {}

    template <class Container, class = std::enable_if_t<std::is_convertible_v<decltype(std::data(std::declval<const Container&>())), const float*>>>
    Values(const Container& container) noexcept : data_(std::data(container)), size_(static_cast<std::size_t>(std::size(container))) {}

    const float* data() const noexcept { return data_; }
    std::size_t size() const noexcept { return size_; }

private:
    const float* data_;
    std::size_t size_;
};

// Numbers to write, made likewise.
class MutableValues {
public:
    MutableValues(float* data, std::size_t size) noexcept : data_(data), size_(size) {}

    template <class Container, class = std::enable_if_t<std::is_convertible_v<decltype(std::data(std::declval<Container&>())), float*>>>
    MutableValues(Container& container) noexcept : data_(std::data(container)), size_(static_cast<std::size_t>(std::size(container))) {}

    float* data() const noexcept { return data_; }
    std::size_t size() const noexcept { return size_; }

private:
    float* data_;
    std::size_t size_;
};

// Ends an adaptation at a time of the monotonic clock.
class Deadline {
public:
    explicit Deadline(std::chrono::steady_clock::time_point at) noexcept : at_(at) {}

    static Deadline in(std::chrono::steady_clock::duration budget) noexcept {
        return Deadline(std::chrono::steady_clock::now() + budget);
    }

    bool operator()() const noexcept { return std::chrono::steady_clock::now() >= at_; }

private:
    std::chrono::steady_clock::time_point at_;
};

// The bytes of a whole file. Throws std::runtime_error if there is none.
inline std::vector<std::uint8_t> read_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::vector<std::uint8_t> bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    if (!file) {
        throw std::runtime_error("cannot read " + path);
    }
    return bytes;
}

// An adapter that owns its bundle and its block. The constructor allocates and may throw; nothing after it does either.
// After a move only the new owner may be used: the old one answers SINEW_CODE_NULL_POINTER.
class Adapter {
public:
    Adapter(std::vector<std::uint8_t> bundle, std::size_t capacity) : bundle_(std::move(bundle)) {
        if (sinew_abi_version() != SINEW_ABI_VERSION) {
            throw std::runtime_error("the sinew library has another ABI version than sinew.h");
        }
        std::size_t size = 0;
        std::size_t align = 0;
        check(sinew_adapter_size(bundle_.data(), bundle_.size(), capacity, &size, &align));
        const std::align_val_t alignment{align};
        block_ = Block(::operator new(size, alignment), Release{alignment});
        check(sinew_adapter_init(block_.get(), size, bundle_.data(), bundle_.size(), capacity, &adapter_));
    }

    Adapter(Adapter&& other) noexcept
        : bundle_(std::move(other.bundle_)), block_(std::move(other.block_)), adapter_(std::exchange(other.adapter_, nullptr)) {}

    Adapter& operator=(Adapter&& other) noexcept {
        bundle_ = std::move(other.bundle_);
        block_ = std::move(other.block_);
        adapter_ = std::exchange(other.adapter_, nullptr);
        return *this;
    }

    [[nodiscard]] sinew_code observe(Values x, Values y) noexcept {
        return sinew_adapter_observe(adapter_, x.data(), x.size(), y.data(), y.size());
    }

    // Of a sample that carries the labels of some heads only: bit i of labelled is for head i of the bundle.
    [[nodiscard]] sinew_code observe_heads(Values x, Values y, std::uint32_t labelled) noexcept {
        return sinew_adapter_observe_heads(adapter_, x.data(), x.size(), y.data(), y.size(), labelled);
    }

    // Asks until(), which must not throw, before each unit of work, and ends when it says true.
    template <class Until>
    [[nodiscard]] sinew_code adapt(const Until& until, sinew_report& report) noexcept {
        const auto ask = [](void* context) noexcept { return (*static_cast<const Until*>(context))() ? 1 : 0; };
        return sinew_adapter_adapt(adapter_, ask, const_cast<void*>(static_cast<const void*>(std::addressof(until))), &report);
    }

    // Does all of the work.
    [[nodiscard]] sinew_code adapt(sinew_report& report) noexcept {
        return sinew_adapter_adapt(adapter_, nullptr, nullptr, &report);
    }

    [[nodiscard]] sinew_code predict(Values x, MutableValues y) noexcept {
        return sinew_adapter_predict(adapter_, x.data(), x.size(), y.data(), y.size());
    }

    // With the variance of each prediction, if the bundle's rule knows one.
    [[nodiscard]] sinew_code predict_with_variance(Values x, MutableValues y, MutableValues variance) noexcept {
        return sinew_adapter_predict_with_variance(adapter_, x.data(), x.size(), y.data(), y.size(), variance.data(),
                                                   variance.size());
    }

    [[nodiscard]] sinew_code support_loss(float& loss) noexcept { return sinew_adapter_support_loss(adapter_, &loss); }
    [[nodiscard]] sinew_code novelty(sinew_novelty& novelty) noexcept { return sinew_adapter_novelty(adapter_, &novelty); }
    [[nodiscard]] sinew_code budget(sinew_budget& budget) noexcept { return sinew_adapter_budget(adapter_, &budget); }
    [[nodiscard]] sinew_code verify() noexcept { return sinew_adapter_verify(adapter_); }
    [[nodiscard]] sinew_code rollback() noexcept { return sinew_adapter_rollback(adapter_); }
    [[nodiscard]] sinew_code reset() noexcept { return sinew_adapter_reset(adapter_); }
    [[nodiscard]] sinew_code set_steps(std::uint32_t steps) noexcept { return sinew_adapter_set_steps(adapter_, steps); }

    // held_back is for SINEW_GUARD_HELD_BACK.
    [[nodiscard]] sinew_code set_guard(sinew_guard guard, std::size_t held_back = 0) noexcept {
        return sinew_adapter_set_guard(adapter_, guard, held_back);
    }

    [[nodiscard]] sinew_code set_limits(float trust_radius, std::uint32_t patience, std::size_t recovery) noexcept {
        return sinew_adapter_set_limits(adapter_, trust_radius, patience, recovery);
    }

    std::size_t input_len() const noexcept { return sinew_adapter_input_len(adapter_); }
    std::size_t output_len() const noexcept { return sinew_adapter_output_len(adapter_); }
    std::size_t capacity() const noexcept { return sinew_adapter_capacity(adapter_); }
    std::size_t support_rows() const noexcept { return sinew_adapter_support_rows(adapter_); }
    std::uint32_t steps() const noexcept { return sinew_adapter_steps(adapter_); }

    // For what only sinew.h has.
    sinew_adapter* get() noexcept { return adapter_; }

private:
    struct Release {
        std::align_val_t alignment;
        void operator()(void* block) const noexcept { ::operator delete(block, alignment); }
    };
    using Block = std::unique_ptr<void, Release>;

    // Set-up has time to say what is wrong with the bundle in detail.
    void check(sinew_code code) const {
        if (code == SINEW_CODE_OK) {
            return;
        }
        char text[256];
        if (sinew_bundle_check(bundle_.data(), bundle_.size(), text, sizeof text) == code) {
            throw SetupError(code, text);
        }
        throw SetupError(code, sinew_error_text(code));
    }

    std::vector<std::uint8_t> bundle_;
    Block block_;
    sinew_adapter* adapter_ = nullptr;
};

}  // namespace sinew

#endif  // SINEW_HPP
