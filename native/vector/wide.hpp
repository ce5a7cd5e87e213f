// Several vectors side by side, so that a chain of operations is issued for all of them before its next link: the
// schedulers of processors hold too few instructions to find that parallelism by themselves.
#pragma once

// What is called once a vector must not become a call: the compiler's own limits stop short of four vectors.
#define SOFTMAXES_INLINE inline __attribute__((always_inline))

namespace {

template <class V, int count>
struct Wide {
    V v[count];
};

template <class V, int count>
SOFTMAXES_INLINE V at(const Wide<V, count>& a, int i) { return a.v[i]; }
template <class V>
SOFTMAXES_INLINE V at(const V& a, int) { return a; }

template <class V, int count, class Function>
SOFTMAXES_INLINE Wide<V, count> side_by_side(Function f) {
    Wide<V, count> r;
#pragma GCC unroll 8
    for (int i = 0; i < count; ++i) r.v[i] = f(i);
    return r;
}

// one vector for all, in the shape of the first argument
template <class V, int n>
SOFTMAXES_INLINE Wide<V, n> side_by_side_like(const Wide<V, n>&, const V& a) {
    return side_by_side<V, n>([&](int) { return a; });
}
template <class V>
SOFTMAXES_INLINE V side_by_side_like(const V&, const V& a) { return a; }

// The first operand is wide; the others are wide too, or one vector for all.
template <class V, int n, class B>
SOFTMAXES_INLINE Wide<V, n> add(const Wide<V, n>& a, const B& b) {
    return side_by_side<V, n>([&](int i) { return add(a.v[i], at(b, i)); });
}
template <class V, int n, class B>
SOFTMAXES_INLINE Wide<V, n> sub(const Wide<V, n>& a, const B& b) {
    return side_by_side<V, n>([&](int i) { return sub(a.v[i], at(b, i)); });
}
template <class V, int n, class B>
SOFTMAXES_INLINE Wide<V, n> mul(const Wide<V, n>& a, const B& b) {
    return side_by_side<V, n>([&](int i) { return mul(a.v[i], at(b, i)); });
}
template <class V, int n, class B, class C>
SOFTMAXES_INLINE Wide<V, n> fma(const Wide<V, n>& a, const B& b, const C& c) {
    return side_by_side<V, n>([&](int i) { return fma(a.v[i], at(b, i), at(c, i)); });
}
template <int up, class V, int n>
SOFTMAXES_INLINE Wide<V, n> add_bits(const Wide<V, n>& a, const Wide<V, n>& z) {
    return side_by_side<V, n>([&](int i) { return add_bits<up>(a.v[i], z.v[i]); });
}
template <class V, int n>
SOFTMAXES_INLINE Wide<V, n> look_up(const typename V::scalar (&table)[16], const Wide<V, n>& z) {
    return side_by_side<V, n>([&](int i) { return look_up(table, z.v[i]); });
}
template <class V, int n>
SOFTMAXES_INLINE Wide<V, n> drop_below(const Wide<V, n>& a, const Wide<V, n>& x, const V& threshold) {
    return side_by_side<V, n>([&](int i) { return drop_below(a.v[i], x.v[i], threshold); });
}
template <class V, int n, class X>
SOFTMAXES_INLINE Wide<V, n> zero_below(const Wide<V, n>& a, const X& x, const V& threshold) {
    return side_by_side<V, n>([&](int i) { return zero_below(a.v[i], at(x, i), threshold); });
}

}  // namespace
