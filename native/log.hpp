// log(1 + r) for r > -1, within 1 ULP, our own so that no C library decides our bits.
//
// u = 1 + r with its rounding error c; u = 2^k (1 + f); log(1 + f) = f - f^2/2 + s (f^2/2 + R(s^2)), s = f / (2 + f).
#pragma once

namespace {

// log(u + c) for a normal u > 0 and a c that is tiny beside it
inline F64 log_sum(F64 u, F64 c) {
    static constexpr double tail[] = {0x1.55555555555dep-1, 0x1.999999996c744p-2, 0x1.2492495047999p-2,
                                      0x1.c71c47dd6c405p-3, 0x1.74681e87f0873p-3, 0x1.39757d9282eb9p-3,
                                      0x1.30a2fd05213bbp-3};
    F64 k;
    const F64 f = sub(split_power(u, k), broadcast<F64>(1));
    const F64 s = div(f, add(broadcast<F64>(2), f));
    const F64 z = mul(s, s);
    F64 tail_sum = broadcast<F64>(tail[6]);
    for (int i = 5; i >= 0; --i) tail_sum = fma(tail_sum, z, broadcast<F64>(tail[i]));
    const F64 half = mul(broadcast<F64>(0.5), mul(f, f));
    const F64 small = fma(k, broadcast<F64>(0x1.ef35793c76730p-45), div(c, u));
    const F64 inner = fma(s, add(half, mul(z, tail_sum)), small);
    return fma(k, broadcast<F64>(0x1.62e42fefa3800p-1), sub(f, sub(half, inner)));
}

inline F64 log1p(F64 r) {
    const F64 one = broadcast<F64>(1);
    const F64 u = add(one, r);
    const F64 back = sub(u, one);
    return log_sum(u, add(sub(one, sub(u, back)), sub(r, back)));  // (1 + r) - u, exactly
}

}  // namespace
