"""Augmentation."""

import numpy as np
import pytest

from zerotrain.data.augment import shift_images


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (8, 8)])
@pytest.mark.parametrize("reach", [1, 2, 8])
def test_shifted_images_are_windows_of_the_padded_ones(shape: tuple[int, int], reach: int) -> None:
    rng = np.random.default_rng(7)
    x = rng.integers(1, 256, (40, shape[0] * shape[1]))
    shifted = shift_images(x, shape, reach, 3, 1)
    assert shifted.shape == x.shape
    moves = set()
    for before, after in zip(x.reshape(-1, *shape), shifted.reshape(-1, *shape), strict=True):
        padded = np.pad(before, reach)
        found = [
            (i, j)
            for i in range(2 * reach + 1)
            for j in range(2 * reach + 1)
            if np.array_equal(padded[i : i + shape[0], j : j + shape[1]], after)
        ]
        assert found
        moves.update(found)
    if reach == 1:  # 40 images meet most of the nine moves
        assert len(moves) >= 7


def test_the_key_names_the_moves() -> None:
    x = np.arange(1, 65).reshape(1, 64).repeat(50, axis=0)
    first = shift_images(x, (8, 8), 2, 1, 2, 3)
    assert np.array_equal(first, shift_images(x, (8, 8), 2, 1, 2, 3))
    assert not np.array_equal(first, shift_images(x, (8, 8), 2, 1, 2, 4))
