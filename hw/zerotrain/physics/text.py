"""Expressions as text: the language of equations in files, and formulas in plain numbers.

Both are Python expressions of names, numbers, ``+ - * / **``, indices, lists, calls of known
functions, and sums over ``... for i in range(n)``. Nothing else is evaluated.
"""

import ast
import operator
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerotrain.physics.space import Space, d, d2, dot, grad, laplacian, norm2
from zerotrain.spec.polynomial import Polynomial

__all__ = ["FUNCTIONS", "formula", "polynomial"]

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
    ast.Div: operator.truediv, ast.Pow: operator.pow,
}  # fmt: skip
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg, ast.UAdd: operator.pos,
}  # fmt: skip
#: Operators of equations.
_OPERATORS: dict[str, Any] = {
    "d": d, "d2": d2, "dot": dot, "grad": grad, "laplacian": laplacian, "norm2": norm2,
    "sum": lambda values: sum(values, Polynomial()),
}  # fmt: skip
#: Functions of formulas.
FUNCTIONS: dict[str, Any] = {
    "abs": np.abs, "cos": np.cos, "exp": np.exp, "log": np.log, "sin": np.sin, "sqrt": np.sqrt,
    "sum": lambda values: sum(values), "tanh": np.tanh, "pi": np.pi,
}  # fmt: skip
_MOST_TERMS, _MOST_POWER = 1024, 16
_MOST_TEXT = 4000


def polynomial(text: str, space: Space) -> Polynomial:
    """An ansatz or a residual in the coordinates and data words of a space, u and f.

    Raises
    ------
    ValueError
        In one sentence, with the text.
    """
    names: dict[str, Any] = dict(zip(space.vector_names, space.coordinates, strict=True))
    names |= dict(zip(space.data_names, space.data, strict=True))
    names |= _OPERATORS | {"u": space.unknown, "f": space.network}
    value = _evaluated(text, names, Fraction)
    if isinstance(value, int | Fraction):
        return Polynomial.constant(value)
    if not isinstance(value, Polynomial):
        raise ValueError(f"{text!r} is no expression with one value")
    return value


def formula(text: str, space: Space, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """A function of the coordinates at ``points [n, coordinates]``: float64[n]."""
    names: dict[str, Any] = dict(FUNCTIONS)
    column = 0
    for name, vector in zip(space.vector_names, space.coordinates, strict=True):
        size = len(vector) if isinstance(vector, tuple) else 1
        columns = tuple(points[:, column + k] for k in range(size))
        names[name] = columns if isinstance(vector, tuple) else columns[0]
        column += size
    with np.errstate(all="ignore"):
        value = _evaluated(text, names, float)
    try:
        found = np.broadcast_to(np.asarray(value, np.float64), (len(points),)).copy()
    except (TypeError, ValueError):
        raise ValueError(f"{text!r} is no function with one value at each point") from None
    if not np.isfinite(found).all():
        raise ValueError(f"{text!r} is not finite everywhere in the domain")
    return found


def _evaluated(text: str, names: Mapping[str, Any], number: Callable[[str], Any]) -> Any:
    try:
        if len(text) > _MOST_TEXT:
            raise SyntaxError
        tree = ast.parse(text.strip(), mode="eval")
        return _Walker(text, names, number).value(tree.body)
    except (SyntaxError, RecursionError, MemoryError):
        shown = text if len(text) < 200 else f"{text[:200]}..."
        raise ValueError(f"{shown!r} is no expression") from None
    except (TypeError, IndexError, AttributeError) as error:
        raise ValueError(f"{text!r} does not make sense: {error}") from None
    except ZeroDivisionError:
        raise ValueError(f"{text!r} divides by zero") from None


class _Walker:
    """Evaluates a syntax tree; ``number`` makes numbers of their own text."""

    def __init__(self, text: str, names: Mapping[str, Any], number: Callable[[str], Any]) -> None:
        self.text, self.names, self.number = text, dict(names), number

    def value(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Constant) and type(node.value) in (int, float):
            source = ast.get_source_segment(self.text.strip(), node)
            exact = self.number(str(source).replace("_", ""))
            return int(exact) if type(node.value) is int else exact
        if isinstance(node, ast.Name):
            return self._known(node.id)
        if isinstance(node, ast.UnaryOp) and type(node.op) in _UNARY:
            return _UNARY[type(node.op)](self.value(node.operand))
        if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
            return self._binary(type(node.op), self.value(node.left), self.value(node.right))
        if isinstance(node, ast.List | ast.Tuple):
            return tuple(self.value(part) for part in node.elts)
        if isinstance(node, ast.Subscript):
            index = self.value(node.slice)
            return self.value(node.value)[index]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
            function = self._known(node.func.id)
            if not callable(function):
                raise ValueError(f"{node.func.id} in {self.text!r} is no function")
            return function(*(self.value(argument) for argument in node.args))
        if isinstance(node, ast.GeneratorExp) and len(node.generators) == 1:
            return self._terms(node, node.generators[0])
        raise ValueError(
            f"{ast.unparse(node)!r} in {self.text!r} is not understood: expected names, numbers, "
            "+ - * / **, lists, calls, and sums over ... for i in range(n)"
        )

    def _known(self, name: str) -> Any:
        if name not in self.names:
            known = ", ".join(sorted(self.names))
            raise ValueError(f"{name!r} in {self.text!r} is not known: known are {known}")
        return self.names[name]

    def _binary(self, kind: type[ast.operator], left: Any, right: Any) -> Any:
        if kind is ast.Pow and not (isinstance(right, int | float) and abs(right) <= _MOST_POWER):
            raise ValueError(
                f"Exponents are numbers of at most {_MOST_POWER}, got another in {self.text!r}"
            )
        if kind is ast.Div and isinstance(left, int) and isinstance(right, int):
            return self.number(str(left)) / self.number(str(right))
        return _BINARY[kind](left, right)

    def _terms(self, node: ast.GeneratorExp, over: ast.comprehension) -> list[Any]:
        call = over.iter
        if (
            over.ifs or not isinstance(over.target, ast.Name) or not isinstance(call, ast.Call)
            or ast.unparse(call.func) != "range" or len(call.args) != 1
        ):  # fmt: skip
            raise ValueError(f"A sum is over ... for i in range(n), got another in {self.text!r}")
        count = self.value(call.args[0])
        if type(count) is not int or not 0 <= count <= _MOST_TERMS:
            raise ValueError(f"A sum has up to {_MOST_TERMS} terms, got another in {self.text!r}")
        found = []
        for k in range(count):
            self.names[over.target.id] = k
            found.append(self.value(node.elt))
        del self.names[over.target.id]
        return found
