"""A suite asked for where only the core is installed: the one extra that brings all of it is named."""

from __future__ import annotations

import sys

import pytest

import mixmerge
from mixmerge.errors import MissingExtraError


@pytest.mark.parametrize("lacking", [("lm_eval",), ("transformers",), ("torch", "transformers", "lm_eval")])
@pytest.mark.parametrize("tasks", [["m3"], ["m3_gsm8k"]])
def test_the_extra_of_a_suite_is_eval(
    lacking: tuple[str, ...], tasks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in lacking:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError) as caught:
        mixmerge.evaluate("model", tasks)
    [problem] = caught.value.problems
    assert problem.cure == "pip install 'mixmerge[eval]'"
