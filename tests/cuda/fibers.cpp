// One fiber for each CUDA thread of a block. What shim.h promises, and the door through which tests/src/shim.rs comes.
//
// A stack takes up threads one after another as long as each runs to its end; only a thread that waits keeps its stack to itself. So a
// kernel without barriers needs no more than one, and a barrier costs each thread one switch.

#include "shim.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <numeric>
#include <string>
#include <vector>

#include <sys/mman.h>

#ifndef __x86_64__
#include <ucontext.h>
#endif

// The kernels are compiled for AddressSanitizer, this file is not: a frame that is left for good would stay marked.
#ifdef WATCHED
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

__thread uint3 threadIdx, blockIdx, blockDim, gridDim;

namespace {

using u32 = std::uint32_t;
using u64 = std::uint64_t;

const shim::Kernel* kernels = nullptr;

struct Stack {
    char* memory;
    // What lies below it may not be touched: a thread that needs more ends there.
    static constexpr std::size_t GUARD = 4096, BYTES = 256 * 1024;
    char* low() const { return memory + GUARD; }
};

[[noreturn]] void work();

#ifdef __x86_64__
// The registers that a function keeps for its caller lie on the stack.
using Context = void*;
extern "C" void sinew_switch(void** from, void* to);
asm(R"(
    .text
    .p2align 4
    .type sinew_switch, @function
sinew_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size sinew_switch, . - sinew_switch
)");

void begin(Context& context, const Stack& stack) {
    void** top = reinterpret_cast<void**>((stack.low() + Stack::BYTES));
    // As a call would leave it: the return address at 8 below a multiple of 16, and no frame above.
    top[-1] = nullptr;
    top[-2] = reinterpret_cast<void*>(&work);
    std::fill(top - 8, top - 2, nullptr);
    context = top - 8;
}

void change(Context& from, Context& to) { sinew_switch(&from, to); }
#else
// With a call of the system each time.
using Context = ucontext_t;

void begin(Context& context, const Stack& stack) {
    getcontext(&context);
    context.uc_stack.ss_sp = stack.low();
    context.uc_stack.ss_size = Stack::BYTES;
    context.uc_link = nullptr;
    makecontext(&context, &work, 0);
}

void change(Context& from, Context& to) { swapcontext(&from, &to); }
#endif

// Stacks outlive a launch, and its thread: tests come on many threads.
class Stacks {
    std::mutex mutex;
    std::vector<Stack> idle;

public:
    bool take(Stack& stack) {
        const std::lock_guard<std::mutex> lock(mutex);
        if (idle.empty()) {
            void* memory = mmap(nullptr, Stack::GUARD + Stack::BYTES, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
            if (memory == MAP_FAILED) return false;
            stack = {static_cast<char*>(memory)};
            mprotect(memory, Stack::GUARD, PROT_NONE);
        } else {
            stack = idle.back();
            idle.pop_back();
        }
        return true;
    }

    void give_back(const std::vector<Stack>& stacks) {
        const std::lock_guard<std::mutex> lock(mutex);
        idle.insert(idle.end(), stacks.begin(), stacks.end());
    }
};
Stacks all_stacks;

enum class State : unsigned char { NEW, READY, AT_BLOCK, AT_WARP, DONE };

struct Thread {
    Context context;
    shim::Site site;
    u32 stack;
    State state;
    // Which half of its warp's words it uses: a lane that is ahead by one must not write over what another is about to read.
    unsigned char half;
    void* fake_stack;
};

struct Warp {
    std::vector<u32> threads;
    u32 waiting;
    shim::Site site;
    u64 words[2][32];
};

struct Shared {
    const void* key;
    void* memory;
    std::size_t bytes;
};

bool same(const shim::Site& a, const shim::Site& b) {
    return a.line == b.line && (a.file == b.file || std::strcmp(a.file, b.file) == 0);
}

struct Launch {
    const shim::Kernel* kernel;
    const void* arguments;
    u32 count;
    u32 shared_limit;
    std::size_t dynamic_bytes;
    void* dynamic;

    std::vector<u32> order;
    std::vector<Thread> threads;
    std::vector<Warp> warps;
    std::vector<Shared> shared;
    std::vector<Stack> stacks;
    std::vector<u32> free_stacks;
    // Threads that may run, first in, first out: a ring. Or a warp whose lanes have met goes on before all others, as far as it comes: what
    // it writes too early is there when they look.
    std::vector<u32> ready;
    u32 head, tail;
    bool ahead;

    u32 me, done, waiting;
    shim::Site site;
    Context main;
    void* main_fake_stack;
    const void* main_low;
    std::size_t main_bytes;
    std::string message;

    void push(u32 thread) { ready[tail++ & (ready.size() - 1)] = thread; }
    void push_first(u32 thread) { ready[--head & (ready.size() - 1)] = thread; }
    bool any() const { return head != tail; }
    u32 pop() { return ready[head++ & (ready.size() - 1)]; }

    void start_block();
    void run_block();
    void enter(u32 thread, Context& from, void** fake_stack);
    void to_main(Context& from, void** fake_stack);
    void leave();
    void complain(const shim::Site& site, const std::string& why);
    [[noreturn]] void abandon();
    void describe();
    std::string place(u32 thread) const;
};

__thread Launch* launch = nullptr;

std::string format(const char* text, ...) {
    char buffer[600];
    va_list values;
    va_start(values, text);
    vsnprintf(buffer, sizeof buffer, text, values);
    va_end(values);
    return buffer;
}

std::string text_of(const shim::Site& site) {
    const char* slash = std::strrchr(site.file, '/');
    return format("%s (%s:%d)", site.what, slash ? slash + 1 : site.file, site.line);
}

// Before and after each switch, so that AddressSanitizer knows on which stack it is.
void switch_begins([[maybe_unused]] void** fake_stack, [[maybe_unused]] const void* low, [[maybe_unused]] std::size_t bytes) {
#ifdef WATCHED
    __sanitizer_start_switch_fiber(fake_stack, low, bytes);
#endif
}
void switch_ends([[maybe_unused]] void* fake_stack) {
#ifdef WATCHED
    const void* low;
    std::size_t bytes;
    __sanitizer_finish_switch_fiber(fake_stack, &low, &bytes);
    // Only the first switch of all comes from there.
    if (!launch->main_low) launch->main_low = low, launch->main_bytes = bytes;
#endif
}

// Goes on with a thread, on its own stack or a new one.
void Launch::enter(u32 next, Context& from, void** fake_stack) {
    Thread& thread = threads[next];
    if (thread.state == State::NEW) {
        if (free_stacks.empty()) {
            Stack stack;
            if (!all_stacks.take(stack)) {
                std::fputs("no memory for the stacks of the CUDA shim\n", stderr);
                std::abort();
            }
            free_stacks.push_back(static_cast<u32>(stacks.size()));
            stacks.push_back(stack);
        }
        thread.stack = free_stacks.back();
        free_stacks.pop_back();
        begin(thread.context, stacks[thread.stack]);
    }
    me = next;
    threadIdx.x = next;
    switch_begins(fake_stack, stacks[thread.stack].low(), Stack::BYTES);
    change(from, thread.context);
}

void Launch::to_main(Context& from, void** fake_stack) {
    switch_begins(fake_stack, main_low, main_bytes);
    change(from, main);
}

// What a stack does: runs threads to their ends, then gives itself up for one that has a stack of its own.
[[noreturn]] void work() {
    switch_ends(nullptr);
    for (;;) {
        Launch& l = *launch;
        Thread& thread = l.threads[l.me];
        thread.state = State::READY;
        l.kernel->body(l.arguments);
        thread.state = State::DONE;
        l.done++;
        const u32 stack = thread.stack;
        if (!l.any()) {
            l.to_main(thread.context, nullptr);
        }
        const u32 next = l.pop();
        if (l.threads[next].state == State::NEW) {
            l.threads[next].stack = stack;
            l.me = next;
            threadIdx.x = next;
        } else {
            l.free_stacks.push_back(stack);
            l.enter(next, thread.context, nullptr);
        }
    }
}

// The thread waits: another goes on, until it is its turn again.
void Launch::leave() {
    Thread& thread = threads[me];
    if (any()) {
        const u32 next = pop();
        // The last to come may be the first to go.
        if (next != me) {
            enter(next, thread.context, &thread.fake_stack);
            switch_ends(thread.fake_stack);
        }
    } else {
        to_main(thread.context, &thread.fake_stack);
        switch_ends(thread.fake_stack);
    }
    thread.state = State::READY;
}

// Ends the launch. What stands on the stacks is never destroyed, so nothing there may own memory:
void Launch::abandon() {
    Context lost;
    to_main(lost, nullptr);
    std::abort();
}

void Launch::start_block() {
    for (u32 t = 0; t < count; t++) threads[t].state = State::NEW, threads[t].half = 0;
    for (Warp& warp : warps) warp.waiting = 0, std::memset(warp.words, 0xff, sizeof warp.words);
    for (Shared& one : shared) std::memset(one.memory, 0xff, one.bytes);
    if (dynamic_bytes) std::memset(dynamic, 0xff, dynamic_bytes);
    done = waiting = head = tail = 0;
    for (u32 t : order) push(t);
}

void Launch::run_block() {
    start_block();
    enter(pop(), main, &main_fake_stack);
    switch_ends(main_fake_stack);
    if (message.empty() && done < count) describe();
    free_stacks.resize(stacks.size());
    std::iota(free_stacks.begin(), free_stacks.end(), 0);
}

void Launch::complain(const shim::Site& site, const std::string& why) {
    message = format("thread %u at ", me) + text_of(site) + ": " + why;
}

std::string Launch::place(u32 t) const {
    const Thread& thread = threads[t];
    switch (thread.state) {
        case State::DONE: return format("thread %u has returned", t);
        case State::NEW: return format("thread %u has not begun", t);
        default: return format("thread %u waits at ", t) + text_of(thread.site);
    }
}

// Nobody can go on: who waits for whom. Threads at the least and the most frequented place.
void Launch::describe() {
    u32 first = 0;
    while (threads[first].state == State::DONE) first++;
    // A warp's place is the narrower one.
    for (u32 t = first; t < count; t++)
        if (threads[t].state == State::AT_WARP) {
            first = t;
            break;
        }
    const bool warp = threads[first].state == State::AT_WARP;
    const u32 begin = warp ? first / 32 * 32 : 0, end = warp ? std::min(begin + 32, count) : count;
    u32 other = begin;
    while (other < end && threads[other].state == threads[first].state) other++;
    message = place(first) + (other < end ? ", but " + place(other) : "") +
              (warp ? ": all lanes of a warp must come to the same one" : ": all threads of a block must come to the same one");
}

u32 next_random(u64& state) {
    // splitmix64, Steele et al. 2014.
    state += 0x9e3779b97f4a7c15u;
    u64 z = state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return static_cast<u32>((z ^ (z >> 31)) >> 32);
}

// 0: forward, 1: reverse, 2: by the seed.
std::vector<u32> order_of(u32 count, u32 kind, u64& seed) {
    std::vector<u32> order(count);
    std::iota(order.begin(), order.end(), 0);
    if (kind == 1) std::reverse(order.begin(), order.end());
    if (kind == 2)
        for (u32 i = count; i > 1; i--) std::swap(order[i - 1], order[next_random(seed) % i]);
    return order;
}

}  // namespace

namespace shim {

Kernel::Kernel(const char* name, unsigned most_threads, std::size_t bytes, Body body)
    : name(name), most_threads(most_threads), bytes(bytes), body(body), next(kernels) {
    kernels = this;
}

void wait_for_block(Site site) {
    Launch& l = *launch;
    Thread& thread = l.threads[l.me];
    if (l.waiting == 0) {
        l.site = site;
    } else if (!same(site, l.site)) {
        l.complain(site, "other threads of the block wait at " + text_of(l.site));
        l.abandon();
    }
    thread.site = site;
    thread.state = State::AT_BLOCK;
    if (++l.waiting == l.count) {
        l.waiting = 0;
        for (u32 t : l.order) l.push(t);
    }
    l.leave();
}

const u64* wait_for_warp(Site site, unsigned mask, u64 value) {
    Launch& l = *launch;
    Thread& thread = l.threads[l.me];
    Warp& warp = l.warps[l.me / 32];
    const u32 lanes = static_cast<u32>(warp.threads.size());
    const u32 all = lanes == 32 ? 0xffffffffu : (1u << lanes) - 1;
    if ((mask & all) != all) {
        l.complain(site, format("the mask %08x leaves out lanes of its warp, which has %u", mask, lanes));
        l.abandon();
    }
    if (warp.waiting == 0) {
        warp.site = site;
    } else if (!same(site, warp.site)) {
        l.complain(site, "other lanes of the warp wait at " + text_of(warp.site));
        l.abandon();
    }
    const u64* words = warp.words[thread.half];
    warp.words[thread.half][l.me % 32] = value;
    thread.half ^= 1;
    thread.site = site;
    thread.state = State::AT_WARP;
    if (++warp.waiting == lanes) {
        warp.waiting = 0;
        if (l.ahead) {
            for (u32 i = lanes; i-- > 0;) l.push_first(warp.threads[i]);
        } else {
            for (u32 t : warp.threads) l.push(t);
        }
    }
    l.leave();
    return words;
}

void* dynamic_shared() { return launch->dynamic; }

void* static_shared(const void* key, std::size_t bytes, std::size_t alignment) {
    Launch& l = *launch;
    std::size_t all = bytes;
    for (const Shared& one : l.shared) {
        if (one.key == key) return one.memory;
        all += one.bytes;
    }
    // nvcc takes no more.
    if (all > 48 * 1024 || all + l.dynamic_bytes > l.shared_limit) {
        l.message = format("%zu bytes of static and %zu of dynamic shared memory, where a block may have 49152 and %u in all", all,
                           l.dynamic_bytes, l.shared_limit);
        l.abandon();
    }
    void* memory = nullptr;
    // Of exactly this size, so that AddressSanitizer sees who leaves it.
    if (posix_memalign(&memory, std::max<std::size_t>(alignment, 16), bytes) != 0) std::abort();
    std::memset(memory, 0xff, bytes);
    l.shared.push_back({key, memory, bytes});
    return memory;
}

}  // namespace shim

// Why a launch failed goes to `message`; 0 where it did not.
extern "C" int sinew_shim_run(const char* name, const u32* grid, u32 threads, u32 dynamic, u32 shared_limit, const void* arguments,
                              u64 bytes, u32 kind, u64 seed, char* message, u64 room) {
    Launch l{};
    const auto refuse = [&](const std::string& why) {
        snprintf(message, room, "%s", why.c_str());
        return 1;
    };
    for (l.kernel = kernels; l.kernel && std::strcmp(l.kernel->name, name) != 0;) l.kernel = l.kernel->next;
    if (!l.kernel) return refuse("no kernel of this name");
    if (bytes != l.kernel->bytes) return refuse(format("an argument of %zu bytes is expected, got %llu", l.kernel->bytes, static_cast<unsigned long long>(bytes)));
    if (threads == 0 || threads > l.kernel->most_threads || threads > 1024)
        return refuse(format("from 1 to %u threads are expected, got %u", std::min(l.kernel->most_threads, 1024u), threads));
    if (grid[0] == 0 || grid[1] == 0 || grid[2] == 0 || grid[0] > 0x7fffffff || grid[1] > 65535 || grid[2] > 65535)
        return refuse(format("a grid of %u x %u x %u blocks, where from 1 to 2147483647 x 65535 x 65535 are allowed", grid[0], grid[1], grid[2]));
    if (dynamic > shared_limit) return refuse(format("%u bytes of dynamic shared memory, where a block may have %u", dynamic, shared_limit));

    l.arguments = arguments;
    l.count = threads;
    l.shared_limit = shared_limit;
    l.dynamic_bytes = dynamic;
    if (dynamic && posix_memalign(&l.dynamic, 16, dynamic) != 0) return refuse("no memory for shared memory");
    l.threads.resize(threads);
    l.warps.resize((threads + 31) / 32);
    l.order = order_of(threads, kind, seed);
    l.ahead = kind == 1;
    for (u32 t : l.order) l.warps[t / 32].threads.push_back(t);
    u32 ring = 1;
    while (ring < threads) ring *= 2;
    l.ready.resize(ring);
    Launch* const outer = launch;
    launch = &l;
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {threads, 1, 1};
    threadIdx = {0, 0, 0};

    const u64 blocks = static_cast<u64>(grid[0]) * grid[1] * grid[2];
    std::vector<u32> shuffled;
    if (kind == 2) shuffled = order_of(static_cast<u32>(blocks), 2, seed);
    for (u64 block = 0; block < blocks && l.message.empty(); block++) {
        const u64 b = kind == 0 ? block : kind == 1 ? blocks - 1 - block : shuffled[block];
        blockIdx = {static_cast<u32>(b % grid[0]), static_cast<u32>(b / grid[0] % grid[1]), static_cast<u32>(b / grid[0] / grid[1])};
        l.run_block();
    }
    launch = outer;
    const bool failed = !l.message.empty();
    if (failed) {
        refuse(format("block %u, %u, %u: ", blockIdx.x, blockIdx.y, blockIdx.z) + l.message);
#ifdef WATCHED
        // Threads that never returned leave their frames marked.
        for (const Stack& stack : l.stacks) __asan_unpoison_memory_region(stack.low(), Stack::BYTES);
#endif
    }
    for (const Shared& one : l.shared) std::free(one.memory);
    std::free(l.dynamic);
    all_stacks.give_back(l.stacks);
    return failed;
}
