"""The perturbation generator: exact stream, full period, and statistics that matter to RGE."""

from math import prod, sqrt

import numpy as np
import pytest
from numpy.typing import NDArray

from zerotrain.golden.lfsr import bits, heal, step
from zerotrain.spec.lfsr import TAPS, mix_seed

DEGREES = sorted(TAPS)

#: Prime factors of 2**n - 1, with multiplicity.
FACTORS = {
    32: (3, 5, 17, 257, 65537),
    33: (7, 23, 89, 599479),
    40: (3, 5, 5, 11, 17, 31, 41, 61681),
    48: (3, 3, 5, 7, 13, 17, 97, 241, 257, 673),
    64: (3, 5, 17, 257, 641, 65537, 6700417),
}


def power_of_x(exponent: int, polynomial: int) -> int:
    """``x**exponent`` modulo a polynomial over GF(2), as bit masks."""
    degree = polynomial.bit_length() - 1

    def multiply(a: int, b: int) -> int:
        out = 0
        while b:
            out ^= a if b & 1 else 0
            a <<= 1
            a ^= polynomial if a >> degree & 1 else 0
            b >>= 1
        return out

    out = 1
    for digit in bin(exponent)[2:]:
        out = multiply(out, out)
        if digit == "1":
            out = multiply(out, 2)
    return out


def is_primitive(polynomial: int) -> bool:
    """Whether x generates every non-zero residue: then the LFSR has period 2**n - 1."""
    n = polynomial.bit_length() - 1
    order = (1 << n) - 1
    return power_of_x(order, polynomial) == 1 and all(
        power_of_x(order // q, polynomial) != 1 for q in set(FACTORS[n])
    )


@pytest.mark.parametrize("degree", DEGREES)
def test_period_is_maximal(degree: int) -> None:
    factors = FACTORS[degree]
    assert prod(factors) == (1 << degree) - 1
    assert all(q % k for q in factors for k in range(2, int(sqrt(q)) + 1))
    assert is_primitive(1 + sum(1 << tap for tap in TAPS[degree]))


def test_period_test_can_fail() -> None:
    # x**33 + x + 1 and x**48 + x**47 + 1 are not primitive.
    assert not is_primitive((1 << 33) | 3)
    assert not is_primitive((1 << 48) | (1 << 47) | 1)


@pytest.mark.parametrize("degree", DEGREES)
def test_polynomial_is_the_recurrence(degree: int) -> None:
    stream, _ = bits(mix_seed(3, degree), 500, degree)
    for t in range(500 - degree):
        expected = int(stream[t])
        for tap in TAPS[degree][1:]:
            expected ^= int(stream[t + tap])
        assert stream[t + degree] == expected


@pytest.mark.parametrize("degree", DEGREES)
@pytest.mark.parametrize("count", [1, 7, 64, 1000, (1 << 14) - 1, 1 << 14, 40000])
def test_bits_equal_steps(degree: int, count: int) -> None:
    state = start = mix_seed(count, degree)
    expected = []
    for _ in range(count):
        bit, state = step(state, degree)
        expected.append(bit)
    stream, after = bits(start, count, degree)
    assert stream.tolist() == expected
    assert after == state


@pytest.mark.parametrize("degree", DEGREES)
def test_calls_continue_the_stream(degree: int) -> None:
    start = mix_seed(5, degree)
    whole, end = bits(start, 3000, degree)
    parts, state = [], start
    for count in (0, 1, 63, 64, 65, 807, 2000):
        part, state = bits(state, count, degree)
        parts.append(part)
    assert (np.concatenate(parts) == whole).all()
    assert state == end


@pytest.mark.parametrize("degree", DEGREES)
def test_zero_state_heals(degree: int) -> None:
    assert heal(0, degree) == 1
    assert step(0, degree) == step(1, degree)
    for count in (1, 200):
        zero, one = bits(0, count, degree), bits(1, count, degree)
        assert (zero[0] == one[0]).all()
        assert zero[1] == one[1] != 0
    assert bits(0, 0, degree)[1] == 0


def test_negative_count() -> None:
    with pytest.raises(ValueError, match=r"^A number of bits is 0 or more, not -1$"):
        bits(1, -1, 48)


@pytest.mark.parametrize("degree", DEGREES)
def test_balance(degree: int) -> None:
    """Ones, and equal pairs at short distances, are half of the bits within five sigma."""
    n = 1 << 20
    stream, _ = bits(mix_seed(1, degree), n, degree)
    limit = 5 * sqrt(n) / 2
    assert abs(int(stream.sum()) - n / 2) < limit
    for lag in range(1, 32):
        equal = int((stream[lag:] == stream[:-lag]).sum())
        assert abs(equal - (n - lag) / 2) < limit


@pytest.mark.parametrize("degree", DEGREES)
def test_small_seeds_give_unrelated_streams(degree: int) -> None:
    streams = np.array([bits(mix_seed(s, degree), 1 << 14, degree)[0] for s in range(16)])
    signs = 2.0 * streams - 1
    correlation = signs @ signs.T / signs.shape[1]
    np.fill_diagonal(correlation, 0)
    # The sum of two streams is a third one. Degree 33's trinomial gives its windows a heavier tail.
    sigmas = 7 if len(TAPS[degree]) == 2 else 5
    assert abs(correlation).max() < sigmas / sqrt(signs.shape[1])


def adjacent_tap_lanes(seed: int, shape: tuple[int, int], lanes: int) -> NDArray[np.uint8]:
    """What not to do: ``lanes`` neighbouring register bits per clock as parallel outputs."""
    clocks = -(-shape[0] * shape[1] // lanes)
    stream, _ = bits(seed, clocks + lanes, 48)
    taken = stream[np.arange(clocks)[:, None] + np.arange(lanes)]
    return taken.ravel()[: shape[0] * shape[1]].reshape(shape)


def cosine(perturbations: NDArray[np.uint8], gradient: NDArray[np.float64]) -> float:
    """Of the averaged RGE estimate of a linear function's gradient to the gradient itself."""
    signs = 2.0 * perturbations - 1
    estimate = (signs @ gradient) @ signs / len(signs)
    norms = np.linalg.norm(estimate) * np.linalg.norm(gradient)
    return float(estimate @ gradient / norms)


def test_averaged_estimate_points_along_the_gradient() -> None:
    """Independent signs give ``E |g|**2 = |grad|**2 (1 + (d - 1) / M)`` after M queries.

    Single steps of adjacent-tap lanes look fine; their average does not, however long: parameters
    that share a bit of the register cannot be told apart (about d / lanes bits are distinct).
    """
    d, queries, trials = 512, 2048, 8
    theory = 1 / sqrt(1 + (d - 1) / queries)
    found: dict[int, list[float]] = {1: [], 4: [], 16: [], 32: []}
    for trial in range(trials):
        gradient = np.random.default_rng(trial).normal(size=d)
        seed = mix_seed(trial, 48)
        fresh, _ = bits(seed, queries * d, 48)
        found[1].append(cosine(fresh.reshape(queries, d), gradient))
        for lanes in (4, 16, 32):
            copies = adjacent_tap_lanes(seed, (queries, d), lanes)
            found[lanes].append(cosine(copies, gradient))

    def follows_theory(lanes: int) -> bool:
        return abs(float(np.mean(found[lanes])) - theory) < 0.02

    assert follows_theory(1)
    assert not any(follows_theory(lanes) for lanes in (4, 16, 32))
    for lanes, limit in ((4, 0.55), (16, 0.35), (32, 0.3)):
        assert np.mean(found[lanes]) < limit
