"""What happens where Numba cannot keep what it compiles, or cannot be used."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
from numba.core import caching
def refuse(*_):
    return None
for name in vars(caching):
    if name.endswith("Locator") and hasattr(getattr(caching, name), "from_function"):
        setattr(getattr(caching, name), "from_function", classmethod(refuse))
from mixmerge.kernels._compile import dispatched
twice = dispatched(lambda x: 2 * x)
print(twice(21))
"""


def test_without_a_folder_to_write_kernels_compile_all_the_same() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.stdout == "42\n", done.stderr


REFUSING = """
import sys
class Refusing:
    def find_spec(self, name, path=None, target=None):
        if name == "numba":
            from importlib.machinery import ModuleSpec
            return ModuleSpec(name, self)
    def create_module(self, spec):
        return None
    def exec_module(self, module):
        raise ImportError("Numba needs NumPy 2.2 or less")
sys.meta_path.insert(0, Refusing())
from mixmerge.kernels import load
print(load().compiled)
try:
    load(True)
except ImportError as error:
    print(error)
"""


def test_numba_that_is_there_but_does_not_import_is_done_without(tmp_path: Path) -> None:
    """As it refuses a NumPy that is too new for it. Asked for by name, it is missed."""
    env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", REFUSING], capture_output=True, text=True, env=env)
    assert done.stdout == "False\nNumba needs NumPy 2.2 or less\n", done.stderr
