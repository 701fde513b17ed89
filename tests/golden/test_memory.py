"""Memory that one step of the fast engine leaves to the next."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from zerotrain.golden.fast.memory import borrowed_memory
from zerotrain.golden.fast.words import Words
from zerotrain.spec.formats import QFormat

_SMALL, _LARGE = QFormat(16, 0), QFormat(17, 0)


def test_arrays_of_one_step_are_apart() -> None:
    with borrowed_memory() as memory, ThreadPoolExecutor(4) as pool:
        arrays = list(pool.map(lambda _: memory.words((3, 7), _SMALL), range(200)))
        arrays.append(memory.words((3, 7), _LARGE))
    assert {array.dtype for array in arrays[:-1]} == {np.dtype(np.int16)}
    assert arrays[-1].dtype == np.int32
    for n, array in enumerate(arrays):
        array[:] = n
    assert all((array == n).all() and array.shape == (3, 7) for n, array in enumerate(arrays))


def test_the_next_step_gets_the_same() -> None:
    def step(*shapes: tuple[int, ...]) -> list[Words]:
        with borrowed_memory() as memory:
            return [memory.words(shape, _SMALL) for shape in shapes]

    first = step((4, 5), (2, 10), (3,))
    second = step((20,), (5, 2, 2), (30,))
    assert all(any(np.shares_memory(a, b) for b in first[:2]) for a in second[:2])
    assert not any(np.shares_memory(second[2], a) for a in first)
    # What the second step had no use for is gone.
    third = step((3,), (30,))
    assert not np.shares_memory(third[0], first[2])
    assert np.shares_memory(third[1], second[2])


def test_steps_at_once_share_nothing() -> None:
    with borrowed_memory() as one, borrowed_memory() as other:
        assert not np.shares_memory(one.words((9,), _SMALL), other.words((9,), _SMALL))
