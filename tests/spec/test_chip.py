"""The fingerprint of a chip."""

from itertools import product

import pytest

from zerotrain.spec import chip as spec
from zerotrain.spec.chip import Cge, Chip, Core, Store
from zerotrain.spec.formats import Formats, QFormat

ALIKE = Formats(input=QFormat(6, 3), preact=QFormat(6, 2))


def chips() -> list[Chip]:
    """A chip of every choice, with all that go together."""
    found = []
    for cge, core, store, loops in product(Cge, Core, Store, (True, False)):
        common, environments = store == Store.COMMON, cge == Cge.ENVIRONMENTS
        if environments and not loops or common and (environments or core != Core.COMPACT):
            continue
        found.append(
            Chip(lanes=2, formats=ALIKE, cge=cge, core=core, store=store, loops=loops,
                 sample_banks=1)
        )  # fmt: skip
    return found


def test_chips_of_unlike_choices_have_unlike_fingerprints() -> None:
    found = chips()
    assert len({chip.config_hash for chip in found}) == len(found)


@pytest.mark.parametrize("name", ["cge", "core", "store"])
def test_so_has_a_choice_that_came_later(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {chip.config_hash for chip in chips()}
    monkeypatch.setitem(spec._FIRST_ENTRIES, name, {})
    after = {chip.config_hash for chip in chips()}
    assert len(after) == len(before) and not before & after


def test_fingerprints_stay() -> None:
    """Those of chips that were routed and of checkpoints are compared with today's."""
    common = Chip(
        lanes=2, formats=ALIKE, core=Core.COMPACT, store=Store.COMMON, cge=Cge.NONE, loops=False,
        sample_banks=1, count_width=6,
    )  # fmt: skip
    raised = Chip(lanes=2, store=Store.SPRAM, cge=Cge.FORWARD)
    found = [chip.config_hash for chip in (Chip(lanes=2), raised, common)]
    assert found == [0xE973F993, 0xE97B185E, 0xE63C78D4]
