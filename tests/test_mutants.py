"""Which tests the mutation run gives to a defect."""

from collections import Counter

import pytest

pytest.importorskip("libcst")
pytest.importorskip("mutmut")

from benchmarks.mutants import Mutant, Record
from benchmarks.mutants import tests_of as chosen_tests

MODULE = "text_lloom/operators/loop.py"


def records() -> list[Record]:
    seconds = {"t.py::quick": 0.1, "t.py::slow": 3.0}
    lines = {MODULE: {7: ["t.py::slow"]}}
    other = Record("", {"text_lloom/scores.py": ""}, {"u.py::other": 0.1}, {})
    return [Record("", {MODULE: ""}, seconds, lines), other]


@pytest.mark.parametrize(
    ("line", "chosen"),
    [(7, ["t.py::slow"]), (8, ["t.py::quick", "t.py::slow"])],
    ids=["tests that execute it", "files that import the module"],
)
def test_a_defect_is_given_to(line: int, chosen: list[str]) -> None:
    mutant = Mutant(MODULE, line, "number", "", "", (line,))
    reach = Counter({"t.py::quick": 1, "t.py::slow": 1})
    assert [test for _, test in chosen_tests(mutant, records(), reach)] == chosen
