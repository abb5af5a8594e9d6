"""Calling a compiled loop by its address: arguments as the machine words that Numba's calling convention wants.

A function that Numba compiled takes the place of its result, the place of an error, and its arguments taken apart: an
array is seven words or more, a tuple what its items are. Nothing here imports Numba but a loop that is not yet stored.
"""

from __future__ import annotations

import ctypes
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from mixmerge.kernels import _store

Form = tuple[Any, ...]
"""The types of arguments, as far as machine code depends on them."""

Call = Callable[[Sequence[Any], Sequence[Any]], Any]
"""Of the arguments, and of the words they are."""

_SCALARS: Final[dict[type, tuple[str, type]]] = {
    int: ("int64", ctypes.c_int64),
    np.int64: ("int64", ctypes.c_int64),
    np.uint32: ("uint32", ctypes.c_uint32),
    np.uint64: ("uint64", ctypes.c_uint64),
    np.float32: ("float32", ctypes.c_float),
}
_UNKNOWN: Final = "?"
"""The form of what only Numba takes apart."""

_ARRAY: Final = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)
_DONE: Final = (0, -2)  # the second: it returned None
_NOT_KEPT: Final = (ValueError, RuntimeError, AttributeError)
"""What keeps a loop from being kept: refused by `emitted`, by LLVM, or by a Numba that has its parts elsewhere."""

_MOST: Final = 64  # arrays that a thread remembers, most of them gone
_LOADING: Final = threading.Lock()


class Loop:
    """A compiled function of this package: stored machine code, or what Numba makes of it at the first call.

    Arguments: ints, numpy scalars, arrays and tuples of these; a tuple's arrays are not replaced in it. Any number of
    threads may call it at once; the interpreter's lock is not held meanwhile. Whoever calls holds the arrays until it
    returns.
    """

    def __init__(self, name: str, find: Callable[[], Any]) -> None:
        """name: of its files; find: gives the function as `_compile.compiled` made it, and may import Numba."""
        self.name = name
        self._find = find
        self._calls: dict[Form, Call] = {}

    @property
    def ready(self) -> bool:
        """Whether its first call will be quick."""
        return bool(self._calls) or _store.any_kept(self.name)

    def __call__(self, *arguments: Any) -> Any:
        form, words = taken_apart(arguments)
        call = self._calls.get(form)
        if call is None:
            with _LOADING:
                call = self._calls.get(form) or self._made(form, arguments)
                self._calls[form] = call
        return call(arguments, words)

    def _made(self, form: Form, arguments: Sequence[Any]) -> Call:
        if _UNKNOWN in form:
            return self._dispatched()
        try:
            code = _store.kept(self.name, str(form)) or self._in_turn(form, arguments)
            return _native(_store.address_of(code), code.returns, arguments)
        except _NOT_KEPT:
            return self._dispatched()

    def _in_turn(self, form: Form, arguments: Sequence[Any]) -> _store.MachineCode:
        with _store.turn(self.name, str(form)):
            return _store.kept(self.name, str(form)) or self._emitted(form, arguments)

    def _emitted(self, form: Form, arguments: Sequence[Any]) -> _store.MachineCode:
        from mixmerge.kernels._compile import emitted

        code = emitted(self._find(), arguments)
        _store.keep(self.name, str(form), code)
        return code

    def _dispatched(self) -> Call:
        from mixmerge.kernels._compile import dispatched

        function = dispatched(self._find().py_func)
        return lambda arguments, _: function(*arguments)


def taken_apart(arguments: Sequence[Any]) -> tuple[Form, list[Any]]:
    """The form of arguments, and the words they are: an array's count no references, since the caller holds it."""
    form: list[Any] = []
    words: list[Any] = []
    for value in arguments:
        kind = type(value)
        if kind is np.ndarray:
            known = _LATEST.arrays.get(id(value))
            if known is None or known.array() is not value:
                known = _array_apart(value)
            form.append(known.form)
            words += known.words
        elif kind in _SCALARS:
            form.append(_SCALARS[kind][0])
            words.append(value.item() if kind is not int else value)
        elif isinstance(value, tuple):
            inner, more = _tuple_apart(value)
            form += inner
            words += more
        else:
            form.append(_UNKNOWN)
    return tuple(form), words


def _form_of(array: np.ndarray) -> Any:
    flags = array.flags
    plain = flags.c_contiguous and flags.writeable and flags.aligned and array.dtype.isnative
    return (array.dtype.char, array.ndim) if plain else _UNKNOWN


class _Array(NamedTuple):
    """An array taken apart; it is not kept alive."""

    array: weakref.ref[np.ndarray]
    form: Any
    words: tuple[Any, ...]


class _Latest(threading.local):
    """What this thread took apart last: the tuple, the same for all blocks of a tensor and as long as all the rest; and
    arrays, of which most are buffers that come with every block. Neither is changed meanwhile but in what it holds."""

    def __init__(self) -> None:
        self.value: tuple[Any, ...] = ()
        self.parts: tuple[Form, list[Any]] = ((), [])
        self.arrays: dict[int, _Array] = {}


_LATEST: Final = _Latest()


def _array_apart(value: np.ndarray) -> _Array:
    words = (None, None, value.size, value.itemsize, value.__array_interface__["data"][0])
    arrays = _LATEST.arrays
    if len(arrays) >= _MOST:
        arrays.clear()
    found = arrays[id(value)] = _Array(weakref.ref(value), _form_of(value), (*words, *value.shape, *value.strides))
    return found


def _tuple_apart(value: tuple[Any, ...]) -> tuple[Form, list[Any]]:
    if _LATEST.value is not value:
        form, words = taken_apart(value)
        _LATEST.value, _LATEST.parts = value, ((type(value).__name__, len(value), *form), words)
    return _LATEST.parts


def _types(value: Any) -> tuple[Any, ...]:
    if isinstance(value, np.ndarray):
        return (*_ARRAY, *(ctypes.c_int64,) * (2 * value.ndim))
    if isinstance(value, tuple):
        return tuple(kind for item in value for kind in _types(item))
    return (_SCALARS[type(value)][1],)


def _native(address: int, returns: str, arguments: Sequence[Any]) -> Call:
    kinds = (ctypes.c_void_p, ctypes.c_void_p, *(kind for value in arguments for kind in _types(value)))
    function = ctypes.CFUNCTYPE(ctypes.c_int32, *kinds)(address)

    def call(_: Sequence[Any], words: Sequence[Any]) -> Any:
        result, error = ctypes.c_int64(), ctypes.c_void_p()
        status = function(ctypes.addressof(result), ctypes.addressof(error), *words)
        if status not in _DONE:
            raise RuntimeError(f"a compiled loop ended with status {status}")
        return result.value if returns == "int64" else None

    return call
