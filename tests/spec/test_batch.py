"""Where samples and targets are: a bijection, by the formulas of the register map."""

import numpy as np
import pytest

from zerotrain.spec.batch import BatchLayout, address_bits


@pytest.mark.parametrize(
    ("lanes", "ways"), [(1, 1), (8, 1), (8, 2), (7, 3), (5, 5), (64, 8), (40, 7)]
)
def test_every_sample_has_a_place_of_its_own(lanes: int, ways: int) -> None:
    layout = BatchLayout(lanes, ways, banks=2)
    for batch in (1, lanes, 3 * lanes - lanes // 2):
        sample = np.arange(batch)
        passes = layout.passes(batch)
        assert (passes - 1) * lanes < batch <= passes * lanes
        assert layout.batch(passes, layout.last_lanes(batch)) == batch
        assert 1 <= layout.last_lanes(batch) <= lanes
        assert [*layout.lane(sample)] == [s % lanes for s in range(batch)]
        assert [*layout.turn(sample)] == [s // lanes for s in range(batch)]
        rows = set(zip(layout.lane(sample), layout.sample_row(sample, 6), strict=True))
        assert len(rows) == batch and {row % 6 for _, row in rows} == {0}
        targets = {
            (way, row + k)
            for way, row in zip(layout.way(sample), layout.target_row(sample, 3), strict=True)
            for k in range(3)
        }
        assert len(targets) == 3 * batch
        assert max(row for _, row in targets) < layout.target_words(batch, 3)
        assert max(row for _, row in rows) + 6 <= layout.sample_words(batch, 6)


def test_the_largest_batch_fits_and_the_next_does_not() -> None:
    layout = BatchLayout(lanes=8, ways=3, banks=1)
    depths = {"sample_depth": 100, "target_depth": 64}
    for n_inputs, n_targets in ((9, 1), (9, 2), (1, 7)):
        most = layout.max_batch(**depths, n_inputs=n_inputs, n_targets=n_targets)

        def fits(batch: int, n_inputs: int = n_inputs, n_targets: int = n_targets) -> bool:
            samples = layout.sample_words(batch, n_inputs)
            return samples <= 100 and layout.target_words(batch, n_targets) <= 64

        assert fits(most) and not fits(most + 1)


def test_words_of_the_bus() -> None:
    """Lane, bank and row are bit fields of the word."""
    for banks in (1, 2):
        layout = BatchLayout(lanes=5, ways=2, banks=banks)
        words = {
            layout.bus_word(lane, bank, 40) + row
            for lane in range(5)
            for bank in range(banks)
            for row in range(40)
        }
        assert len(words) == 5 * banks * 40
        assert max(words) < layout.bus_words(5, 40) == 5 * banks * 64
    assert layout.bus_word(3, 1, 40) == 3 << 7 | 1 << 6
    assert [address_bits(n) for n in (1, 2, 3, 64, 65)] == [1, 1, 2, 6, 7]
