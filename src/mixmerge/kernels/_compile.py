"""How loops are compiled: Numba without fast maths, without the interpreter lock.

No floating-point rule is relaxed here: no reassociation, no contraction, one rounding an operation. Knows Numba and
LLVM; where machine code is kept, and how it is called, is told in `_store` and `_loop`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any, Final

import llvmlite.binding as llvm
import numba

from mixmerge.kernels._store import MachineCode, cache_folder, target_machine

RETURNS: Final = ("int64", "none")
"""What a loop that Python calls may return."""

_FROM_LIBRARIES: Final = frozenset({"memcpy", "memmove", "memset"})
_DESTRUCTOR: Final = re.compile(r"^declare (.*@NRT_MemInfo_call_dtor\([^)]*\)).*$", re.MULTILINE)
_TRAP: Final = "define linkonce_odr {} {{\n  call void @llvm.trap()\n  unreachable\n}}"


def part(function: Callable[..., Any]) -> Any:
    """The function as a part of compiled ones; not to be called from Python, which halves the time to compile it."""
    return numba.njit(function, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)


def compiled(function: Callable[..., Any]) -> Any:
    """A function that Python calls, through `_loop.Loop`: compiled as a part is, since `emitted` wants nothing else."""
    return part(function)


def merged(function: Callable[..., Any]) -> Any:
    """As `part`, but written into its callers before types are known: for functions that are told `Lowered`, whose
    hundred words would be copied at every call."""
    return numba.njit(function, nogil=True, error_model="numpy", inline="always")


def bound(function: Any, name: str, **parts: Any) -> Callable[..., Any]:
    """The function under another name, calling these parts where it names those that stand in for them.

    Numba cannot cache functions that close over others; with globals of its own the code is compiled for its parts,
    which are resolved then, and has a cache entry under its name.
    """
    made = FunctionType(function.__code__, {**function.__globals__, **parts})
    made.__name__ = made.__qualname__ = name
    made.__module__ = function.__module__
    return made


def dispatched(function: Callable[..., Any]) -> Any:
    """The function as Numba itself calls and caches it: what is left where `emitted` refuses.

    Where no cache folder can be written (a read-only container) it is compiled again in every process.
    """
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(cache_folder())
    try:
        return numba.njit(function, nogil=True, cache=True, error_model="numpy")
    except RuntimeError:
        return numba.njit(function, nogil=True, error_model="numpy")
    finally:
        numba.config.CACHE_DIR = before


def emitted(loop: Any, arguments: Sequence[Any]) -> MachineCode:
    """The machine code of a `compiled` function for arguments of these types, which needs nothing of Numba to run.

    Raises ValueError where it would: for other results than `RETURNS`, or calls into Numba's own library.
    """
    signature = tuple(numba.typeof(value) for value in arguments)
    loop.compile(signature)
    form = loop.overloads[signature]
    returns = str(form.signature.return_type)
    if returns not in RETURNS:
        raise ValueError(f"a loop that returns {returns}")
    module = llvm.parse_assembly(_without_destructors(loop.inspect_llvm(signature)))
    module.verify()
    wanting = [f.name for f in module.functions if f.is_declaration and not f.name.startswith("llvm.")]
    if not _FROM_LIBRARIES.issuperset(wanting):
        raise ValueError(f"a loop that calls {', '.join(wanting)}")
    return MachineCode(form.fndesc.llvm_func_name, returns, target_machine().emit_object(module))


def _without_destructors(assembly: str) -> str:
    """Numba leaves its function that counts references down in every module. Loops borrow their arrays and call it
    never; what it would call is of Numba's library, and stands here as a trap."""
    found = _DESTRUCTOR.sub(lambda match: _TRAP.format(match[1]), assembly)
    return found if found == assembly or "@llvm.trap()" in assembly else f"{found}\ndeclare void @llvm.trap()\n"
