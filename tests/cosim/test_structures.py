"""Every two choices that go together on some chip do so in a row of the table.

The constructor of :class:`Chip` alone decides what goes together. Choices are those of its fields:
a new member, or a new field, is one that no row has yet.
"""

from collections.abc import Callable
from dataclasses import fields
from enum import StrEnum
from functools import cache
from itertools import combinations, product
from typing import Any, get_type_hints

from zerotrain.spec.chip import Chip
from zerotrain.spec.formats import Formats
from zerotrain.spec.lfsr import TAPS
from zerotrain.spec.losses import OUTPUT_LOSSES
from zerotrain.spec.network import Loss

from .structures import SIZES, STRUCTURES

_DRAWN = next(row.chip.formats for row in STRUCTURES if row.chip.formats != Formats())

#: Choices of fields that are numbers: what a chip's value counts as, and a value for each.
_NUMBERS: dict[str, tuple[Callable[[Chip], str], dict[str, Any]]] = {
    "lanes": (
        lambda c: {1: "one", 8: "eight"}.get(c.lanes, "odd" if c.lanes < 8 else "many"),
        {"one": 1, "odd": 3, "eight": 8, "many": 16},
    ),
    "merge_depth": (
        lambda c: "unit" if c.merge_depth else "lanes",
        {"lanes": 0, "unit": SIZES["parameter_depth"]},
    ),
    "sample_banks": (lambda c: str(c.sample_banks), {"1": 1, "2": 2}),
    "loss_ways": (lambda c: "one" if c.loss_ways == 1 else "several", {"one": 1, "several": 2}),
    "formats": (
        lambda c: "default" if c.formats == Formats() else "drawn",
        {"default": Formats(), "drawn": _DRAWN},
    ),
    "lfsr_degree": (
        lambda c: "one word" if c.lfsr_degree == 32 else "two words",
        {"one word": 32, "two words": 48},
    ),
    "count_width": (lambda c: "full" if c.count_width == 16 else "less", {"full": 16, "less": 6}),
}
#: Fields that follow from the others, or are sizes.
_SIZES = {*SIZES, "weight_depth", "target_depth", "acc_width", "residual_depth"}

Choice = tuple[str, str]


def _choices() -> dict[str, dict[str, Any]]:
    """Fields of a chip that are choices, and the values to choose from, by their labels."""
    found: dict[str, dict[str, Any]] = {}
    for name, kind in get_type_hints(Chip).items():
        if name in _NUMBERS:
            found[name] = _NUMBERS[name][1]
        elif kind is Loss:  # no gateware has residuals
            found[name] = {str(member): member for member in OUTPUT_LOSSES}
        elif isinstance(kind, type) and issubclass(kind, StrEnum):
            found[name] = {str(member): member for member in kind}
        elif kind is bool:
            found[name] = {"False": False, "True": True}
    return found


def _labels(chip: Chip) -> list[Choice]:
    """What a chip chooses of every field."""
    return [
        (name, _NUMBERS[name][0](chip) if name in _NUMBERS else str(getattr(chip, name)))
        for name in _choices()
    ]


@cache
def _legal_pairs() -> frozenset[tuple[Choice, Choice]]:
    """Every two choices of which some chip can be made, in the order of the fields."""
    choices, pairs = _choices(), set[tuple[Choice, Choice]]()
    sizes: dict[str, Any] = SIZES | {
        "weight_depth": 2 * SIZES["parameter_depth"],
        "target_depth": 64,
    }
    for labels in product(*choices.values()):
        chosen = list(zip(choices, labels, strict=True))
        new = set(combinations(chosen, 2)) - pairs
        if not new:
            continue
        try:
            chip = Chip(**sizes, **{name: choices[name][label] for name, label in chosen})
        except ValueError:
            continue
        assert _labels(chip) == chosen
        pairs |= new
    return frozenset(pairs)


def test_every_field_is_a_choice_or_a_size() -> None:
    names = {field.name for field in fields(Chip)}
    assert names == _choices().keys() | _SIZES and not _choices().keys() & _SIZES


def test_every_legal_pair_is_in_a_row() -> None:
    covered = {pair for row in STRUCTURES for pair in combinations(_labels(row.chip), 2)}
    missing = sorted(_legal_pairs() - covered)
    assert not missing, f"No row of the table has {missing[0]} (and {len(missing) - 1} other pairs)"


def test_what_cannot_be_is_not_asked_for() -> None:
    """Neither every pair of values, nor just those that the table happens to have, is legal."""
    pairs = _legal_pairs()
    assert (("core", "compact"), ("store", "common")) in pairs
    assert (("core", "pipelined"), ("store", "common")) not in pairs
    assert (("lanes", "one"), ("loss_ways", "several")) not in pairs


def test_enough_rows_of_different_names() -> None:
    assert len({row.name for row in STRUCTURES}) == len(STRUCTURES) >= 24
    assert {row.chip.lfsr_degree for row in STRUCTURES} == set(TAPS)
    assert {True, False} == {row.chip.serial_loss for row in STRUCTURES}
