"""Where compiled loops are kept, and what happens where they cannot be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mixmerge.kernels import _compile

PROGRAM = """
from numba.core import caching
def refuse(*_):
    return None
for name in vars(caching):
    if name.endswith("Locator") and hasattr(getattr(caching, name), "from_function"):
        setattr(getattr(caching, name), "from_function", classmethod(refuse))
from mixmerge.kernels._compile import compiled, in_cache
twice = compiled(lambda x: 2 * x)
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


def test_numba_that_is_there_but_does_not_import_is_done_without() -> None:
    """As it refuses a NumPy that is too new for it. Asked for by name, it is missed."""
    done = subprocess.run([sys.executable, "-c", REFUSING], capture_output=True, text=True)
    assert done.stdout == "False\nNumba needs NumPy 2.2 or less\n", done.stderr


@pytest.mark.parametrize("variable", ["NUMBA_CACHE_DIR", "XDG_CACHE_HOME"])
def test_the_cache_is_named_after_the_text_of_the_kernels(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it is: a kernel that was edited or upgraded never meets old machine code."""
    source = Path(_compile.__file__)
    texts = tmp_path / "kernels"
    texts.mkdir()
    (texts / "_rules.py").write_text("a = 1\n")
    for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, str(tmp_path / "cache"))
    monkeypatch.setattr(_compile, "__file__", str(texts / source.name))
    before = _compile._cache_folder()
    assert before == _compile._cache_folder()
    assert Path(before).is_relative_to(tmp_path / "cache")
    (texts / "_rules.py").write_text("a = 2\n")
    assert _compile._cache_folder() != before
