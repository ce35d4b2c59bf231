"""Bit tricks that numba does not offer by name; LLVM makes them one or a few instructions."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    import numpy as np
    from numpy.typing import NDArray

    # numba's own classes are typed in part only, which mypy cannot use
    Context: TypeAlias = ir.Type
    Signature: TypeAlias = ir.Type
    NumbaType: TypeAlias = ir.Type
    Typed: TypeAlias = tuple[Signature, Callable[..., ir.Value]]

LANES = 64
"""Elements that a mask covers: one bit each of a 64-bit word."""


@intrinsic
def _trailing_zeros(typingctx: Context, word: NumbaType) -> Typed:
    def generate(
        context: Context, builder: ir.IRBuilder, signature: Signature, values: list[ir.Value]
    ) -> ir.Value:
        return builder.cttz(values[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


@intrinsic
def _count_ones(typingctx: Context, word: NumbaType) -> Typed:
    def generate(
        context: Context, builder: ir.IRBuilder, signature: Signature, values: list[ir.Value]
    ) -> ir.Value:
        return builder.ctpop(values[0])

    return types.int64(types.uint64), generate


@intrinsic
def _mask_at_least(
    typingctx: Context, array: NumbaType, start: NumbaType, least: NumbaType
) -> Typed:
    def generate(
        context: Context, builder: ir.IRBuilder, signature: Signature, values: list[ir.Value]
    ) -> ir.Value:
        array_value, first, limit = values
        lanes = ir.VectorType(context.get_value_type(array.dtype), LANES)
        index = ir.IntType(32)
        data = context.make_array(array)(context, builder, array_value).data
        place = builder.bitcast(builder.gep(data, [first]), lanes.as_pointer())
        elements = builder.load(place, align=1)
        one = builder.insert_element(ir.Constant(lanes, ir.Undefined), limit, index(0))
        every = ir.Constant(ir.VectorType(index, LANES), [0] * LANES)
        limits = builder.shuffle_vector(one, one, every)
        return builder.bitcast(builder.icmp_signed(">=", elements, limits), ir.IntType(64))

    return types.uint64(array, types.int64, array.dtype), generate


trailing_zeros = cast("Callable[[np.uint64], int]", _trailing_zeros)
"""Position of the lowest set bit; 64 if none is set."""
count_ones = cast("Callable[[np.uint64], int]", _count_ones)
"""Number of set bits."""
mask_at_least = cast("Callable[[NDArray[np.int32], int, np.int32], np.uint64]", _mask_at_least)
"""Bit i is set where ``array[start + i] >= least`` (signed); reads 64 elements, unchecked."""
