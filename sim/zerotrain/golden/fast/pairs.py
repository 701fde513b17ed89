"""Rounded products of 16-bit words, summed in 32 bits: the inner loop of nearly everything.

A row of the right-hand side and the next one are interleaved, so that two terms of a sum lie side
by side. x86 multiplies and adds such pairs in one instruction (``vpmaddwd``): with AVX2 sixteen
products. The loop is written as vectors of LLVM, which Numba cannot express; where there is no
AVX2, the same loop is made of plain multiplications.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import intrinsic
from numpy.typing import NDArray

from zerotrain.golden.fast.kernel import kernel

__all__ = ["COLUMNS", "ROWS", "pack_rows", "round_tile"]

#: Rows and columns of a tile of results. Its sums take 8 of the 16 vector registers.
ROWS, COLUMNS = 4, 16

_WORD, _SUM, _SIZE = ir.IntType(16), ir.IntType(32), ir.IntType(64)
_WORDS, _SUMS = ir.VectorType(_WORD, 16), ir.VectorType(_SUM, 8)

#: Columns of a tile in the two vectors of interleaved rows: as AVX2 does it, in halves of 128 bits.
_ORDER = ((0, 1, 2, 3, 8, 9, 10, 11), (4, 5, 6, 7, 12, 13, 14, 15))


@kernel
def pack_rows(w: NDArray[Any]) -> NDArray[np.int16]:
    """Matrices ``[i, m, k]`` as :data:`round_tile` reads them: int16[i, m / ROWS, k / 2, ROWS, 2].

    Zeros make up the numbers.
    """
    count, rows, terms = w.shape
    out = np.zeros((count, -(-rows // ROWS), -(-terms // 2), ROWS, 2), np.int16)
    for i, r in np.ndindex(count, rows):
        block = out[i, r // ROWS]
        for k in range(terms):
            block[k // 2, r % ROWS, k % 2] = w[i, r, k]
    return out


def _has_avx2() -> bool:
    """Whether Numba compiles for a processor with AVX2."""
    features = cpu_target.target_context.codegen().magic_tuple()[2]
    return "+avx2" in features.split(",")


def _shuffle(b: Any, x: Any, y: Any, order: Any) -> Any:
    return b.shuffle_vector(x, y, ir.Constant(ir.VectorType(_SUM, len(order)), list(order)))


def _splat(b: Any, value: Any) -> Any:
    """A vector of eight times the same sum."""
    single = b.insert_element(ir.Constant(_SUMS, ir.Undefined), value, _SUM(0))
    return _shuffle(b, single, single, [0] * 8)


def _pair_products(b: Any, x: Any, y: Any) -> Any:
    """``x[2 n] * y[2 n] + x[2 n + 1] * y[2 n + 1]`` in 32 bits."""
    if _has_avx2():
        name, kind = "llvm.x86.avx2.pmadd.wd", ir.FunctionType(_SUMS, (_WORDS, _WORDS))
        return b.call(cgutils.get_or_insert_function(b.module, kind, name), (x, y))
    terms = []
    for odd in range(2):
        a, c = (b.sext(_shuffle(b, v, v, range(odd, 16, 2)), _SUMS) for v in (x, y))
        terms.append(b.mul(a, c))
    return b.add(*terms)


def _limit(b: Any, x: Any, y: Any, sign: str) -> Any:
    """The smaller (``<``) or larger (``>``) of each two sums."""
    return b.select(b.icmp_signed(sign, x, y), x, y)


class _Array:
    """Pointers into an array of compiled code."""

    def __init__(self, context: Any, b: Any, kind: Any, value: Any) -> None:
        self._builder, self.dtype = b, kind.dtype
        self._array = context.make_array(kind)(context, b, value)

    def at(self, index: Any, kind: Any) -> Any:
        """Element ``index`` of the flat array, as a pointer to ``kind``."""
        pointer = self._builder.gep(self._array.data, [index])
        return self._builder.bitcast(pointer, kind.as_pointer())

    def size(self, axis: int) -> Any:
        return self._builder.extract_value(self._array.shape, axis)


def _fields(context: Any, b: Any, kind: Any, value: Any) -> list[Any]:
    """Those of a named tuple, arrays as :class:`_Array`."""
    values = [b.extract_value(value, n) for n in range(len(kind.types))]
    return [
        _Array(context, b, one, v) if isinstance(one, types.Array) else v
        for one, v in zip(kind.types, values, strict=True)
    ]


def _round_tile(
    typing: Any, w: Any, start: Any, x: Any, out: Any, g: Any, r: Any, n: Any, shift: Any, seen: Any
) -> Any:
    """Results ``r .. r + ROWS - 1`` at columns ``n .. n + COLUMNS - 1`` of a contraction.

    ``out[g, r, n] = clamp((start[r] + sum_k w[r, k] * x[g, k, n] + half) >> shift)``, where
    ``half = 1 << shift >> 1``. Neither sums of magnitudes nor those plus half may reach 2**31.
    Rows beyond the last one of ``out`` are not stored.

    Parameters
    ----------
    w : int16[m / ROWS, k / 2, ROWS, 2]
        Of :func:`pack_rows`.
    start : int32[m]
        With the padding of ``w``.
    x, out : Source, Target
        Of :mod:`zerotrain.golden.fast.contract`. Words of ``x`` are int16.
    g, r, n, shift : int
    seen : int32[2, 8]
        Smallest and largest results before the clamp, so far.
    """
    size = types.int64
    return types.void(w, start, x, out, size, size, size, size, seen), _emit_tile


def _emit_tile(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
    w, start, seen = (_Array(context, b, signature.args[n], arguments[n]) for n in (0, 1, 8))
    words, firsts, stride, terms, _ = _fields(context, b, signature.args[2], arguments[2])
    results, places, low, high = _fields(context, b, signature.args[3], arguments[3])
    g, row, column, shift = arguments[4:8]
    shift, low, high = (_splat(b, b.trunc(value, _SUM)) for value in (shift, low, high))
    one, two, pair_words = _SIZE(1), _SIZE(2), _SIZE(2 * ROWS)
    sums = []
    for r in range(ROWS):
        value = _splat(b, b.load(start.at(b.add(row, _SIZE(r)), _SUM), align=4))
        sums.append([cgutils.alloca_once_value(b, value) for _ in _ORDER])
    source = b.add(b.load(firsts.at(g, _SIZE)), column)
    pairs = w.size(1)
    weights = b.mul(b.mul(b.lshr(row, _SIZE(ROWS.bit_length() - 1)), pairs), pair_words)
    with cgutils.for_range(b, pairs, intp=_SIZE) as loop:
        k = b.mul(loop.index, two)
        upper = b.add(source, b.mul(k, stride))
        # The last term of an odd number has no partner; its weight is zero.
        whole = b.icmp_unsigned("<", b.add(k, one), terms)
        lower = b.add(upper, b.select(whole, stride, _SIZE(0)))
        x0, x1 = (b.load(words.at(place, _WORDS), align=2) for place in (upper, lower))
        mixed = [
            _shuffle(b, x0, x1, [n for c in order for n in (c, c + COLUMNS)]) for order in _ORDER
        ]
        here = b.add(weights, b.mul(loop.index, pair_words))
        for r in range(ROWS):
            pair = b.load(w.at(b.add(here, _SIZE(2 * r)), _SUM), align=2)
            weight = b.bitcast(_splat(b, pair), _WORDS)
            for acc, terms_of_two in zip(sums[r], mixed, strict=True):
                b.store(b.add(b.load(acc), _pair_products(b, terms_of_two, weight)), acc)
    unit = _splat(b, _SUM(1))
    half = b.lshr(b.shl(unit, shift), unit)
    ends = [seen.at(_SIZE(8 * n), _SUMS) for n in range(2)]
    least, most = (b.load(end, align=4) for end in ends)
    rows = places.size(1)
    for r in range(ROWS):
        held, index = [], b.add(row, _SIZE(r))
        for acc in sums[r]:
            rounded = b.ashr(b.add(b.load(acc), half), shift)
            least, most = _limit(b, rounded, least, "<"), _limit(b, rounded, most, ">")
            held.append(_limit(b, _limit(b, rounded, low, ">"), high, "<"))
        with b.if_then(b.icmp_signed("<", index, rows)):
            place = b.load(places.at(b.add(b.mul(g, rows), index), _SIZE))
            _store(b, held, results, b.add(place, column))
    for end, value in zip(ends, (least, most), strict=True):
        b.store(value, end, align=4)
    return context.get_dummy_value()


def _store(b: Any, held: Any, out: _Array, index: Any) -> None:
    """Store a row of results, in the order of the columns."""
    if out.dtype == types.int16 and _has_avx2():
        name, kind = "llvm.x86.avx2.packssdw", ir.FunctionType(_WORDS, (_SUMS, _SUMS))
        packed = b.call(cgutils.get_or_insert_function(b.module, kind, name), held)
        b.store(packed, out.at(index, _WORDS), align=2)
        return
    place = {c: n for n, c in enumerate(_ORDER[0] + _ORDER[1])}
    lower, upper = held
    row = _shuffle(b, lower, upper, [place[c] for c in range(COLUMNS)])
    if out.dtype == types.int16:
        row = b.trunc(row, _WORDS)
    b.store(row, out.at(index, row.type), align=2)


#: For compiled functions, called without the first argument.
round_tile: Any = intrinsic(_round_tile)
