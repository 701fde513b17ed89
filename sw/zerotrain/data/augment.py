"""Augmentation: a step's images moved by a few pixels, so that no image is seen twice alike."""

import numpy as np
from numpy.typing import NDArray

from zerotrain.data.mixing import words

__all__ = ["shift_images"]


def shift_images(
    x: NDArray[np.int64], shape: tuple[int, int], reach: int, *key: int
) -> NDArray[np.int64]:
    """Move every image by its own whole number of pixels, zeros coming in at the edges.

    Parameters
    ----------
    x : int64[n, height * width]
        Images, row by row.
    shape : (height, width)
    reach : int
        Largest shift, in pixels: rows and columns each move by ``-reach..reach``, all equally
        likely.
    key : int
        Names the random stream.

    Returns
    -------
    int64[n, height * width]
    """
    height, width = shape
    count, span = len(x), 2 * reach + 1
    offsets = (words(2 * count, *key) % np.uint64(span)).astype(np.int64).reshape(2, count)
    padded = np.pad(x.reshape(count, height, width), ((0, 0), (reach, reach), (reach, reach)))
    rows = offsets[0][:, None, None] + np.arange(height)[:, None]
    columns = offsets[1][:, None, None] + np.arange(width)
    return padded[np.arange(count)[:, None, None], rows, columns].reshape(count, -1)
