#include "threads.hpp"

#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>

#if !defined(_WIN32)
#include <pthread.h>
#endif

namespace softmaxes {

namespace {

// One call's parts, taken one after another by all who work on it.
class Task {
    void (*const part)(const void*, std::int64_t);
    const void* const context;
    const std::int64_t parts;
    std::atomic<std::int64_t> next{0};
    std::mutex guard;
    std::exception_ptr error;

public:
    Task(void (*part)(const void*, std::int64_t), const void* context, std::int64_t parts)
        : part(part), context(context), parts(parts) {}

    void work() noexcept {
        for (std::int64_t p = next++; p < parts; p = next++) {
            try {
                part(context, p);
            } catch (...) {
                const std::lock_guard lock(guard);
                error = std::current_exception();
            }
        }
    }
    void rethrow() const {
        if (error) std::rethrow_exception(error);
    }
};

constexpr int patience = 200;  // yields before a thread sleeps: calls often follow each other

// The threads that wait. They live as long as the process.
class Crew {
    std::mutex engaged;  // held by the call that has the crew
    std::mutex guard;    // of all below
    std::condition_variable called, left;
    Task* task = nullptr;
    std::atomic<int> places{0};  // how many may still join the task
    std::atomic<int> inside{0};
    int size = 0;

    void wait_for_calls() {
        std::unique_lock lock(guard);
        for (;;) {
            lock.unlock();
            for (int i = 0; i < patience && places == 0; ++i) std::this_thread::yield();
            lock.lock();
            called.wait(lock, [&] { return places > 0; });
            --places;
            ++inside;
            lock.unlock();
            task->work();
            lock.lock();
            if (--inside == 0) left.notify_one();
        }
    }

    void grow(int helpers) {
        for (; size < helpers; ++size) {
            try {
                std::thread([this] { wait_for_calls(); }).detach();
            } catch (const std::system_error&) {
                return;  // the system has no more: fewer do the same parts
            }
        }
    }

public:
    void help(Task& work, int helpers) {
        const std::unique_lock mine(engaged, std::try_to_lock);
        if (!mine) return work.work();
        {
            const std::lock_guard lock(guard);
            grow(helpers);
            task = &work;
            places = helpers;
        }
        called.notify_all();
        work.work();
        for (int i = 0; i < patience && inside > 0; ++i) std::this_thread::yield();
        std::unique_lock lock(guard);
        places = 0;
        left.wait(lock, [&] { return inside == 0; });
    }
};

// Never destroyed: its threads may outlive the end of main. A forked process has no threads but its own: it gets a new
// one, and leaves the old where it is.
std::atomic<Crew*> crew = nullptr;

void make_crew() { crew = new Crew; }

Crew& the_crew() {
    static const bool made = [] {
        make_crew();
#if !defined(_WIN32)
        pthread_atfork(nullptr, nullptr, make_crew);
#endif
        return true;
    }();
    (void)made;
    return *crew;
}

}  // namespace

void do_parts(void (*part)(const void*, std::int64_t), const void* context, std::int64_t parts, int helpers) {
    Task task(part, context, parts);
    the_crew().help(task, helpers);
    task.rethrow();
}

}  // namespace softmaxes
