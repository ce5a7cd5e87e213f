"""Broken versions of the exponential core, each with the law that must notice it."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from tests.laws.core.subject import Core

OURS = Core()


@dataclass(frozen=True)
class Saboteur:
    """A broken core, and the name of a law that must not hold for it."""

    name: str
    breaks: str
    core: Core


SABOTEURS: list[Saboteur] = []


def breaks(law: str, function: str = "softmax") -> Callable[[Callable], Callable]:
    """Enter a replacement of one function of the core, which ``law`` must notice."""

    def enter(replacement: Callable) -> Callable:
        SABOTEURS.append(Saboteur(replacement.__name__, law, replace(OURS, **{function: replacement})))
        return replacement

    return enter


def rows_of(x, axis=-1):
    return np.moveaxis(np.asarray(x), axis, -1)


def textbook(x, axis=-1):
    """Softmax as it is usually written, after the maximum has been taken off."""
    x = np.asarray(x)
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def one_ulp_off(y):
    y = np.array(y)
    y.reshape(-1)[:1] = np.nextafter(y.reshape(-1)[:1], y.dtype.type(2))
    return y


# dtypes


@breaks("result_type_follows_the_table")
def always_double(x, axis=-1, **options):
    return np.asarray(OURS.softmax(x, axis, **options)).astype(np.float64)


@breaks("integers_become_floating_before_any_subtraction")
def subtract_as_integers(x, axis=-1, **options):
    x = np.asarray(x)
    with np.errstate(all="ignore"):
        return (
            textbook(x, axis).astype(OURS.softmax(x).dtype)
            if x.dtype.kind in "iu"
            else OURS.softmax(x, axis, **options)
        )


@breaks("half_types_are_rounded_once")
def round_halves_twice(x, axis=-1, **options):
    y = OURS.softmax(x, axis, **options)
    return (y * np.float32(1.0005)).astype(y.dtype)


@breaks("half_types_sum_further_than_they_count")
def sum_in_halves(x, axis=-1, **options):
    x = np.asarray(x)
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    with np.errstate(all="ignore"):
        return e / np.cumsum(e, axis=axis, dtype=e.dtype).take([-1], axis=axis)


@breaks("longdouble_keeps_its_digits")
def longdouble_through_double(x, axis=-1, **options):
    return OURS.softmax(np.asarray(x).astype(np.float64), axis, **options).astype(np.longdouble)


@breaks("other_byte_order_is_the_same_numbers")
def byte_order_ignored(x, axis=-1, **options):
    x = np.asarray(x)
    return OURS.softmax(x if x.dtype.isnative else x.view(x.dtype.newbyteorder("=")), axis, **options)


# layouts


@breaks("memory_layout_does_not_matter")
def order_of_memory(x, axis=-1, **options):
    x = np.asarray(x)
    y = OURS.softmax(x, axis, **options)
    return y if x.flags.c_contiguous else one_ulp_off(y)


@breaks("broadcast_input_is_the_array_it_looks_like")
def steps_of_zero_counted_once(x, axis=-1, **options):
    x = np.asarray(x)
    return OURS.softmax(x, axis, **options) * (0.5 if 0 in x.strides else 1)


@breaks("an_axis_is_the_last_axis_moved")
def always_the_last_axis(x, axis=-1, **options):
    return OURS.softmax(x, -1, **options)


@breaks("several_axes_are_one_long_axis")
def only_the_first_of_the_axes(x, axis=-1, **options):
    return OURS.softmax(x, axis[0] if isinstance(axis, tuple) else axis, **options)


@breaks("a_single_number_is_a_row_of_one")
def numbers_become_rows(x, axis=-1, **options):
    return OURS.softmax(np.atleast_1d(np.asarray(x)), axis, **options)


@breaks("an_axis_of_length_zero_gives_an_empty_or_neutral_result", "logsumexp")
def sum_of_nothing_is_zero(x, axis=-1, **options):
    return np.where(np.asarray(x).shape[axis] == 0, 0.0, OURS.logsumexp(x, axis, **options))


@breaks("the_input_is_left_alone")
def works_in_place(x, axis=-1, **options):
    y = OURS.softmax(x, axis, **options)
    x[...] = y
    return y


@breaks("lists_and_scalars_are_arrays")
def lists_become_single(x, axis=-1, **options):
    return OURS.softmax(np.asarray(x, np.float32) if isinstance(x, list) else x, axis, **options)


@breaks("an_axis_must_exist_once")
def axes_wrap_around(x, axis=-1, **options):
    return OURS.softmax(x, tuple({a % np.ndim(x) for a in np.atleast_1d(axis)}), **options)


@breaks("keepdims_keeps_the_reduced_axes", "logsumexp")
def keepdims_forgotten(x, axis=-1, keepdims=False, **options):
    return OURS.logsumexp(x, axis, **options)


@breaks("any_view_equals_its_copy")
def negative_steps_read_forwards(x, axis=-1, **options):
    x = np.asarray(x)
    return OURS.softmax(x[::-1] if x.strides[0] < 0 else x, axis, **options)


# masks


@breaks("masked_entries_are_impossible")
def mask_by_a_large_number(x, axis=-1, *, where=None, **options):
    x = np.asarray(x)
    return OURS.softmax(x if where is None else np.where(where, x, x.dtype.type(-9)), axis, **options)


@breaks("a_mask_is_a_deletion")
def mask_after_the_division(x, axis=-1, *, where=None, **options):
    return OURS.softmax(x, axis, **options) * (1 if where is None else where)


@breaks("a_mask_is_minus_infinity", "entropy")
def entropy_forgets_the_mask(x, axis=-1, *, where=None, **options):
    return OURS.entropy(x, axis, **options)


@breaks("what_is_masked_cannot_be_seen")
def mask_by_adding(x, axis=-1, *, where=None, **options):
    if where is None:
        return OURS.softmax(x, axis, **options)
    with np.errstate(all="ignore"):
        return OURS.softmax(x + np.where(where, 0, -np.inf).astype(np.asarray(x).dtype), axis, **options)


@breaks("a_mask_broadcasts")
def mask_along_the_last_axis_only(x, axis=-1, *, where=None, **options):
    if where is not None and where.shape != x.shape:
        where = np.broadcast_to(where.reshape(-1)[: x.shape[-1]], x.shape)
    return OURS.softmax(x, axis, where=where, **options)


@breaks("a_mask_that_does_not_fit_is_refused")
def mask_is_cut_to_fit(x, axis=-1, *, where=None, **options):
    return OURS.softmax(x, axis, where=None if where is None else np.resize(where, np.shape(x)), **options)


@breaks("a_row_without_a_possible_class_follows_the_policy")
def zero_is_the_only_policy(x, axis=-1, *, empty="nan", **options):
    return OURS.softmax(x, axis, empty="zero", **options)


@breaks("logsumexp_of_nothing_is_minus_infinity", "logsumexp")
def nothing_is_nan(x, axis=-1, **options):
    y = OURS.logsumexp(x, axis, **options)
    return np.where(np.isneginf(y), np.nan, y).astype(y.dtype)


@breaks("a_policy_must_be_known")
def unknown_policies_pass(x, axis=-1, *, empty="nan", **options):
    return OURS.softmax(x, axis, empty=empty if empty in ("zero", "uniform", "raise") else "nan", **options)


# numbers that are not finite


@breaks("nan_stays_in_its_row", "logsumexp")
def nan_is_skipped(x, axis=-1, **options):
    x = np.asarray(x)
    return OURS.logsumexp(np.where(np.isnan(x), x.dtype.type(-np.inf), x), axis, **options)


@breaks("minus_infinity_contributes_nothing")
def impossible_is_merely_unlikely(x, axis=-1, **options):
    x = np.asarray(x)
    lowest = x.dtype.type(np.nanmin(np.where(np.isinf(x), np.nan, x)) - 2)
    return OURS.softmax(np.where(np.isneginf(x), lowest, x), axis, **options)


@breaks("plus_infinity_is_the_limit")
def infinity_minus_infinity(x, axis=-1, **options):
    x = np.asarray(x)
    y = np.array(OURS.softmax(x, axis, **options))
    y[np.isposinf(x).any(axis=axis)] = np.nan
    return y


@breaks("results_are_numbers_for_finite_rows")
def without_the_maximum(x, axis=-1, **options):
    with np.errstate(all="ignore"):
        e = np.exp(x)
        return e / e.sum(axis=axis, keepdims=True)


# temperature


@breaks("temperature_divides")
def temperature_multiplies(x, axis=-1, *, temperature=1.0, **options):
    return OURS.softmax(x, axis, temperature=1 / temperature, **options)


@breaks("temperature_keeps_the_offset_out")
def divide_before_subtracting(x, axis=-1, *, temperature=1.0, **options):
    x = np.asarray(x)
    return OURS.softmax(x / x.dtype.type(temperature), axis, **options)


@breaks("a_base_is_a_temperature")
def base_is_multiplied(x, axis=-1, *, base=None, **options):
    return OURS.softmax(np.asarray(x) * (1 if base is None else np.asarray(x).dtype.type(base)), axis, **options)


@breaks("temperature_zero_is_hardmax")
def first_maximum_takes_all(x, axis=-1, *, temperature=1.0, **options):
    y = OURS.softmax(x, axis, temperature=temperature, **options)
    return (np.arange(y.shape[-1]) == y.argmax(axis=-1)[..., None]).astype(y.dtype) if temperature == 0 else y


@breaks("temperature_infinity_is_uniform_over_the_possible")
def uniform_over_everything(x, axis=-1, *, temperature=1.0, **options):
    y = OURS.softmax(x, axis, temperature=temperature, **options)
    return np.full_like(y, 1 / y.shape[-1]) if temperature == np.inf else y


@breaks("a_temperature_is_not_negative")
def sign_of_temperature_ignored(x, axis=-1, *, temperature=1.0, **options):
    return OURS.softmax(x, axis, temperature=np.nan_to_num(abs(temperature), nan=1.0), **options)


@breaks("a_base_is_positive")
def any_base_goes(x, axis=-1, *, base=None, **options):
    return OURS.softmax(x, axis, **options)


# out


@breaks("out_may_be_the_input_itself")
def out_is_zeroed_first(x, axis=-1, *, out=None, **options):
    if out is not None:
        out[...] = 0
    return OURS.softmax(x, axis, out=out, **options)


@breaks("out_may_lie_in_any_way")
def out_is_copied(x, axis=-1, *, out=None, **options):
    return OURS.softmax(x, axis, out=None if out is None else np.array(out), **options)


@breaks("an_overlapping_out_is_refused_untouched")
def overlap_is_not_looked_for(x, axis=-1, *, out=None, **options):
    y = OURS.softmax(x, axis, **options)
    if out is None:
        return y
    out[...] = y
    return out


@breaks("interleaved_out_is_disjoint")
def bounds_stand_for_overlap(x, axis=-1, *, out=None, **options):
    if out is not None and np.may_share_memory(x, out, max_work=0):
        out = np.empty_like(out)
    return OURS.softmax(x, axis, out=out, **options)


@breaks("an_out_that_does_not_fit_is_refused")
def out_is_cast(x, axis=-1, *, out=None, **options):
    y = OURS.softmax(x, axis, **options)
    if isinstance(out, np.ndarray) and out.shape == y.shape and out.flags.writeable:
        out[...] = y
        return out
    return OURS.softmax(x, axis, out=out, **options)


@breaks("a_refusal_writes_nothing")
def writes_before_it_looks(x, axis=-1, *, out=None, empty="nan", **options):
    if out is not None:
        OURS.softmax(x, axis, out=out, **options)
    return OURS.softmax(x if out is None else np.full_like(x, -np.inf), axis, out=out, empty=empty, **options)


# refusals


@breaks("other_dtypes_are_refused_by_name")
def objects_are_tried(x, axis=-1, **options):
    return OURS.softmax(np.asarray(x).astype(np.float64) if np.asarray(x).dtype == object else x, axis, **options)


@breaks("masked_arrays_are_never_unmasked")
def mask_is_lost(x, axis=-1, **options):
    return OURS.softmax(np.asarray(x), axis, **options)


@breaks("a_masked_out_is_refused")
def masked_out_is_filled(x, axis=-1, *, out=None, **options):
    return OURS.softmax(x, axis, out=np.asarray(out), **options)


# meaning


@breaks("probabilities_are_a_distribution")
def sum_in_single_steps(x, axis=-1, **options):
    y = OURS.softmax(x, axis, **options)
    return (y * y.dtype.type(1.05)).astype(y.dtype)


@breaks("the_order_of_the_logits_is_kept")
def order_reversed(x, axis=-1, **options):
    return OURS.softmax(-np.asarray(x), axis, **options)


@breaks("one_class_is_certain")
def nearly_certain(x, axis=-1, **options):
    return OURS.softmax(x, axis, **options) * (1 - np.finfo(np.asarray(x).dtype).eps)


@breaks("logsumexp_of_one_is_itself", "logsumexp")
def through_exp_and_log(x, axis=-1, **options):
    with np.errstate(all="ignore"):
        return np.log(np.exp(x).sum(axis=axis))


@breaks("softmin_is_softmax_of_the_negated", "softmin")
def softmin_is_one_minus_softmax(x, axis=-1, **options):
    p = 1 - OURS.softmax(x, axis, **options)
    return p / p.sum(axis=axis, keepdims=True)


@breaks("hardmax_shares_among_the_largest", "hardmax")
def hardmax_without_ties(x, axis=-1, **options):
    moved = rows_of(x, axis)
    first = np.arange(moved.shape[-1]) == moved.argmax(axis=-1)[..., None]
    return np.moveaxis(first.astype(np.float64), -1, axis)


@breaks("soft_argmax_is_the_mean_position", "soft_argmax")
def counted_from_one(x, axis=-1, **options):
    return OURS.soft_argmax(x, axis, **options) + 1


@breaks("entropy_is_sharp", "entropy")
def entropy_from_probabilities(x, axis=-1, **options):
    p = textbook(x, axis)
    return -np.sum(np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0), axis=axis)


@breaks("entropy_falls_with_the_temperature", "entropy")
def entropy_ignores_temperature(x, axis=-1, *, temperature=1.0, **options):
    return OURS.entropy(x, axis, **options)


@breaks("divergence_is_sharp", "kl_divergence")
def divergence_from_probabilities(a, b, axis=-1, **options):
    p, q = textbook(a, axis), textbook(b, axis)
    with np.errstate(all="ignore"):
        return np.sum(np.where(p > 0, p * np.log(p / q), 0), axis=axis)


@breaks("divergence_is_zero_from_itself_and_infinite_from_the_impossible", "kl_divergence")
def the_other_way_round(a, b, axis=-1, **options):
    return OURS.kl_divergence(b, a, axis, **options)


@breaks("divergence_broadcasts", "kl_divergence")
def divergence_of_the_first_row(a, b, axis=-1, **options):
    return OURS.kl_divergence(a, np.broadcast_to(b[..., :1, :], b.shape) if np.ndim(b) > 1 else b, axis, **options)


@breaks("weights_multiply_the_terms", "logsumexp")
def weights_are_added(x, axis=-1, *, weights=None, **options):
    return OURS.logsumexp(x if weights is None else x + weights, axis, **options)


@breaks("an_exact_shift_changes_little")
def without_a_frame(x, axis=-1, **options):
    with np.errstate(all="ignore"):
        e = np.exp(np.asarray(x))
        return e / e.sum(axis=axis, keepdims=True)


# bits


@breaks("threads_do_not_change_a_bit")
def sums_by_thread(x, axis=-1, *, threads=None, **options):
    y = OURS.softmax(x, axis, threads=threads, **options)
    return y if threads == 1 else one_ulp_off(y)


@breaks("a_row_does_not_see_its_neighbours")
def one_maximum_for_all(x, axis=-1, **options):
    x = np.asarray(x)
    e = np.exp(x - x.max())
    return e / e.sum(axis=axis, keepdims=True)


_calls = iter(range(10**9))


@breaks("twice_is_the_same")
def every_other_call_differs(x, axis=-1, **options):
    y = OURS.softmax(x, axis, **options)
    return one_ulp_off(y) if next(_calls) % 2 else y


@breaks("many_python_threads_may_call_at_once")
def only_the_main_thread_is_right(x, axis=-1, **options):
    y = OURS.softmax(x, axis, **options)
    return y if threading.current_thread() is threading.main_thread() else one_ulp_off(y)
