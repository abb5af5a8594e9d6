"""A few operations that Numba has no name for, or only slow ones, as LLVM instructions.

They serve the loops of this package alone: nothing here checks bounds or counts references.
"""

from __future__ import annotations

from typing import Any

from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array


@intrinsic
def borrowed(typing_context: Any, value: Any) -> Any:
    """An array, or a tuple with arrays in it, without its reference count.

    Every view of an array counts references, with an atomic addition each: hundreds of nanoseconds a tile. The caller
    of a kernel holds its arguments as long as the kernel runs, so a kernel counts nothing.
    """

    def uncounted(context: Any, builder: Any, kind: Any, item: Any) -> Any:
        if isinstance(kind, types.Array):
            array = context.make_array(kind)(context, builder, item)
            array.meminfo = cgutils.get_null_value(array.meminfo.type)
            array.parent = cgutils.get_null_value(array.parent.type)
            return array._getvalue()
        if isinstance(kind, types.BaseTuple):  # type: ignore[attr-defined]
            for place, part_kind in enumerate(kind):
                old = builder.extract_value(item, place)
                item = builder.insert_value(item, uncounted(context, builder, part_kind, old), place)
        return item

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return uncounted(context, builder, value, arguments[0])

    return value(value), generate


@intrinsic
def seen_as(typing_context: Any, array: Any, kind: Any) -> Any:
    """A contiguous array of one dimension as elements of another type; `view` without its checks, which cost more
    than a short loop."""
    element = kind.instance_type
    result = types.Array(element, 1, "C")

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        old = context.make_array(array)(context, builder, arguments[0])
        new = context.make_array(result)(context, builder)
        size = context.get_abi_sizeof(context.get_data_type(element))
        pointer = builder.bitcast(old.data, new.data.type)
        itemsize = context.get_constant(types.intp, size)
        count = builder.udiv(builder.mul(old.nitems, old.itemsize), itemsize)
        shape = cgutils.pack_array(builder, [count])
        strides = cgutils.pack_array(builder, [itemsize])
        populate_array(new, pointer, shape, strides, itemsize, None)
        return new._getvalue()

    return result(array, kind), generate


@intrinsic
def seen_at(typing_context: Any, address: Any, count: Any, kind: Any) -> Any:
    """`count` elements of a type that lie at an address, as an array."""
    result = types.Array(kind.instance_type, 1, "C")

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(result)(context, builder)
        size = context.get_abi_sizeof(context.get_data_type(kind.instance_type))
        itemsize = context.get_constant(types.intp, size)
        pointer = builder.inttoptr(arguments[0], array.data.type)
        shape = cgutils.pack_array(builder, [arguments[1]])
        populate_array(array, pointer, shape, cgutils.pack_array(builder, [itemsize]), itemsize, None)
        return array._getvalue()

    return result(types.int64, types.int64, kind), generate


@intrinsic
def address_of(typing_context: Any, array: Any) -> Any:
    """Where an array's first element lies."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = context.make_array(array)(context, builder, arguments[0]).data
        return builder.ptrtoint(pointer, cgutils.ir.IntType(64))

    return types.int64(array), generate


@intrinsic
def as_float(typing_context: Any, bits: Any) -> Any:
    """The float32 of these 32 bits; numpy's `view` of a scalar keeps loops from becoming vector code."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], cgutils.ir.FloatType())

    return types.float32(types.uint32), generate


@intrinsic
def as_bits(typing_context: Any, value: Any) -> Any:
    """The 32 bits of a float32."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], cgutils.ir.IntType(32))

    return types.uint32(types.float32), generate


@intrinsic
def full_product(typing_context: Any, a: Any, b: Any) -> Any:
    """(low, high) 64 bits of the 128-bit product of two uint64: one machine instruction that Numba has no name for."""
    pair = types.UniTuple(types.uint64, 2)  # type: ignore[attr-defined]

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide, word = cgutils.ir.IntType(128), cgutils.ir.IntType(64)
        product = builder.mul(builder.zext(arguments[0], wide), builder.zext(arguments[1], wide))
        halves = [builder.trunc(product, word), builder.trunc(builder.lshr(product, wide(64)), word)]
        return context.make_tuple(builder, pair, halves)

    return pair(types.uint64, types.uint64), generate


@intrinsic
def lowest_bit(typing_context: Any, word: Any) -> Any:
    """Number of the lowest bit that is set in a uint32 other than 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], cgutils.ir.IntType(1)(1))

    return types.uint32(types.uint32), generate


@intrinsic
def bits_set(typing_context: Any, word: Any) -> Any:
    """How many bits of a uint32 are set."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint32(types.uint32), generate


def _lanes(context: Any, builder: Any, array_type: Any, array: Any, start: Any, width: int) -> Any:
    """32 elements of an array from `start` on, as one vector."""
    pointer = context.make_array(array_type)(context, builder, array).data
    vector = cgutils.ir.VectorType(cgutils.ir.IntType(width), 32)
    place = builder.bitcast(builder.gep(pointer, [start]), vector.as_pointer())
    return builder.load(place, align=width // 8), vector


def _spread(builder: Any, vector: Any, value: Any) -> Any:
    """A scalar in all 32 lanes."""
    word = cgutils.ir.IntType(32)
    one = builder.insert_element(cgutils.ir.Constant(vector, cgutils.ir.Undefined), value, word(0))
    zeros = cgutils.ir.Constant(cgutils.ir.VectorType(word, 32), [0] * 32)
    return builder.shuffle_vector(one, cgutils.ir.Constant(vector, cgutils.ir.Undefined), zeros)


@intrinsic
def above_and_equal(typing_context: Any, array: Any, start: Any, value: Any) -> Any:
    """Two uint32: bit j of the first says whether array[start + j] > value, of the second whether the two are equal.
    array: uint8, with 32 elements there."""
    pair = types.UniTuple(types.uint32, 2)  # type: ignore[attr-defined]

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word = cgutils.ir.IntType(32)
        lanes, vector = _lanes(context, builder, array, arguments[0], arguments[1], 8)
        limit = _spread(builder, vector, arguments[2])
        found = [builder.icmp_unsigned(test, lanes, limit) for test in (">", "==")]
        return context.make_tuple(builder, pair, [builder.bitcast(one, word) for one in found])

    return pair(array, types.int64, types.uint8), generate


@intrinsic
def spread_bits(typing_context: Any, word: Any, array: Any, start: Any) -> Any:
    """array[start + j], all ones where bit j of a uint32 is set, else 0. array: uint8 or uint16, 32 elements there."""
    width = array.dtype.bitwidth

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = context.make_array(array)(context, builder, arguments[1]).data
        flags = builder.bitcast(arguments[0], cgutils.ir.VectorType(cgutils.ir.IntType(1), 32))
        lanes = builder.sext(flags, cgutils.ir.VectorType(cgutils.ir.IntType(width), 32))
        place = builder.bitcast(builder.gep(pointer, [arguments[2]]), lanes.type.as_pointer())
        builder.store(lanes, place, align=width // 8)
        return context.get_dummy_value()

    return types.void(types.uint32, array, types.int64), generate


@intrinsic
def below_and_inside(typing_context: Any, array: Any, start: Any, low: Any, width: Any) -> Any:
    """Two uint32 over the magnitudes array[start + j] & 0x7FFFFFFF: bit j of the first says whether it is below `low`,
    of the second whether it is in low .. low + width (exclusive). array: uint32, with 32 elements there."""
    pair = types.UniTuple(types.uint32, 2)  # type: ignore[attr-defined]

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word = cgutils.ir.IntType(32)
        lanes, vector = _lanes(context, builder, array, arguments[0], arguments[1], 32)
        size = builder.and_(lanes, cgutils.ir.Constant(vector, [0x7FFFFFFF] * 32))
        least, most = (_spread(builder, vector, value) for value in arguments[2:4])
        below = builder.icmp_signed("<", size, least)
        inside = builder.icmp_unsigned("<", builder.sub(size, least), most)
        return context.make_tuple(builder, pair, [builder.bitcast(found, word) for found in (below, inside)])

    return pair(array, types.int64, types.uint32, types.uint32), generate
