"""A key depends on what a source does, not on its words."""

from __future__ import annotations

import ast
import hashlib
from pathlib import Path
from typing import Any

import pytest
from support.keys import forget, keys

from papa.benchmark.runs import key as provenance


class Reworded(ast.NodeTransformer):
    """Other words wherever a source only speaks. raised, logged, documented: how often it did."""

    def __init__(self) -> None:
        self.raised = self.logged = self.documented = 0

    def visit_Raise(self, node: ast.Raise) -> ast.Raise:
        texts = [part for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str)]
        for part in texts:
            part.value += " In other words."
        self.raised += bool(texts)
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.Expr:
        value = node.value
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            value.value, self.documented = "Other words.", self.documented + 1
        if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in ("log", "say"):
            value.args, self.logged = [ast.Constant("Other words.")], self.logged + 1
        return node


def test_other_words_in_every_source_change_no_key(copied: Path, tmp_path: Path) -> None:
    """Errors, log lines and docstrings of the whole package, without comments, in another layout, with CR LF."""
    before, words = keys(tmp_path), Reworded()
    for file in copied.rglob("*.py"):
        tree = words.visit(ast.parse(file.read_text(encoding="utf-8")))
        file.write_bytes(ast.unparse(tree).replace("\n", "\r\n").encode())
    forget()
    assert keys(tmp_path) == before
    assert words.raised > 60 and words.logged > 15 and words.documented > 400, "there was hardly anything to reword"


def does(source: str) -> list[str]:
    return list(provenance._said(ast.parse(source)))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("if a:\n    b()\n    c()", "if a:\n    b()\nc()"),
        ("for a in b:\n    c()\nd()", "for a in b:\n    c()\n    d()"),
        ("def f():\n    a = 1\n    b = 2", "def f():\n    a = 1\nb = 2"),
        ("with a:\n    b()\nraise c", "with a:\n    b()\n    raise c"),
        ("f(g(a), b)", "f(g(a, b))"),
        ("[a, [b], c]", "[a, [b, c]]"),
        ("f(a, b=c)", "f(a, c)"),
        ("def f(*, a, b=1): return a", "def f(*, a=1, b): return a"),
        ("{**a, b: c}", "{b: a, **c}"),
        ("x[1:]", "x[:1]"),
        ("a - (b - c)", "a - b - c"),
        ("x = None", "x: None"),
        ("return_ = 1", "return_ = True"),
        ("raise ValueError(a)", "raise KeyError(a)"),
        ("a = 'text'", "a = 'other text'"),
        ("f('text')", "f('other text')"),
    ],
)
def test_sources_of_the_same_pieces_that_do_something_else_are_told_apart(one: str, other: str) -> None:
    assert does(one) != does(other)


SAMPLE = """
import a.b as c
from d import e
@c.f(1, *e, **{"g": None, **h})
class I(J, metaclass=K):
    l: int = 2
    async def m(self, n, /, o=3.5, *p, q, r=b"s", **t) -> None:
        async with u as v, w: await x
        try: y = [z for z in range(3) if z]
        except (A, B) as C: raise D("E") from C
        else: del F[G:H, ...]
        finally: global K1
        match a:
            case {"b": [c, *d]} if e: return f"{a!r:>8} and {c}"
            case I(x=1) | None: yield from g
def n(a): return lambda b, *, c=1: (a if b else c) and not -c
"""


@pytest.mark.parametrize("nothing", [None, []])
def test_a_key_does_not_depend_on_the_version_of_python(nothing: Any) -> None:
    """Newer versions add fields to the syntax tree, which are empty where a source does not use what is new."""
    assert hashlib.sha256("\0".join(does(SAMPLE)).encode()).hexdigest()[:16] == "1ee8e21491ab95cd"
    tree = ast.parse(SAMPLE)
    for node in ast.walk(tree):
        vars(node)["_fields"] = (*node._fields, "added")
        vars(node)["added"] = nothing
    assert list(provenance._said(tree)) == does(SAMPLE)
    vars(tree)["added"] = [ast.Name("used")]
    assert list(provenance._said(tree)) != does(SAMPLE)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("if a:\n    b()\nc()", "if a:\n    b()\n    c()"),
        ("f(a, *b)", "f(*[a, b])"),
        ("{'k': v, **m}", "{**m, 'k': v}"),
        ("def f(a, b=1): ...", "def f(a=1, b=1): ..."),
        ("x = [1, [2]]", "x = [[1], 2]"),
    ],
)
def test_no_two_sources_that_do_different_things_read_alike(tmp_path: Path, one: str, other: str) -> None:
    files = []
    for name, source in (("one.py", one), ("other.py", other)):
        (tmp_path / name).write_text(source, encoding="utf-8")
        files.append(provenance._behaviour(tmp_path / name))
    forget()
    assert files[0] != files[1]
