// Runs one kernel a number of times on fixed rows, for callgrind to count: instructions ISA OPERATION TYPE COLUMNS ROWS TIMES
#include <cstdlib>
#include <cstring>
#include <vector>

#include "dispatch.hpp"

namespace {

template <class T>
std::vector<T> logits(std::int64_t n) {
    std::vector<T> x(static_cast<std::size_t>(n));
    std::uint64_t state = 88172645463325252ull;
    for (T& value : x) {  // sums of four uniform numbers, near enough to normal ones
        double sum = -2;
        for (int k = 0; k < 4; ++k) {
            state ^= state << 13, state ^= state >> 7, state ^= state << 17;
            sum += static_cast<double>(state >> 11) * 0x1p-53;
        }
        value = static_cast<T>(sum * 1.7);
    }
    return x;
}

template <class T, class RowsOf, class LossesOf>
void run(const char* operation, std::int64_t columns, std::int64_t rows, int times, RowsOf rows_of, LossesOf losses_of) {
    const auto x = logits<T>(rows * columns);
    std::vector<T> out(x.size());
    const std::int64_t size = columns < 8192 ? 8192 : columns + 64;
    T* scratch = static_cast<T*>(std::aligned_alloc(64, static_cast<std::size_t>(size) * sizeof(T) / 64 * 64 + 64));
    const std::vector<std::int64_t> target(static_cast<std::size_t>(rows), columns / 2);
    std::vector<double> losses(static_cast<std::size_t>(rows));
    using softmaxes::Operation;
    const auto which = !std::strcmp(operation, "softmax")       ? Operation::softmax
                       : !std::strcmp(operation, "log_softmax") ? Operation::log_softmax
                                                                : Operation::logsumexp;
    const softmaxes::Losses<T> losses_job{.x = x.data(), .x_stride = columns, .target = target.data(),
                                          .losses = losses.data(), .gradient = out.data(), .gradient_stride = columns,
                                          .row_scale = nullptr, .rows = rows, .columns = columns, .scratch = scratch,
                                          .scratch_size = size};
    const softmaxes::Rows<T> rows_job{.x = x.data(), .x_stride = columns, .out = out.data(),
                                      .out_stride = which == Operation::logsumexp ? 1 : columns, .rows = rows,
                                      .columns = columns, .beta_high = 1.0, .beta_low = 0.0, .operation = which,
                                      .empty = softmaxes::Empty::nan, .scratch = scratch, .scratch_size = size};
    const bool with_gradient = !std::strcmp(operation, "cross_entropy_and_gradient");
    for (int i = 0; i < times; ++i) {
        if (with_gradient) losses_of(losses_job);
        else rows_of(rows_job);
    }
    std::free(scratch);
}

}  // namespace

int main(int count, char** argument) {
    if (count != 7 || !softmaxes::select(argument[1])) return 2;
    const std::int64_t columns = std::atoll(argument[4]), rows = std::atoll(argument[5]);
    const int times = std::atoi(argument[6]);
    const auto& table = softmaxes::kernels();
    if (!std::strcmp(argument[3], "float32"))
        run<float>(argument[2], columns, rows, times, table.rows_f32, table.losses_f32);
    else
        run<double>(argument[2], columns, rows, times, table.rows_f64, table.losses_f64);
}
