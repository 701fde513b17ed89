"""Chips of every structure: a table of named choices.

A row says what a chip is made of. Every two choices that go together on some chip do so in a row
(:mod:`test_structures`). Lanes are as few as the row needs, for each chip has to be compiled.
"""

from dataclasses import dataclass
from zlib import crc32

import numpy as np

from zerotrain.spec.chip import Cge, Chip, Core, Store
from zerotrain.spec.formats import Formats
from zerotrain.spec.network import Loss

from ..golden import draw

__all__ = ["SIZES", "STRUCTURES", "Structure"]

#: ``ways``: of the loss unit, serial where a compact chip has one for softmax. ``count``: bits of
#: the counters of a contraction. ``words``: in the usual formats, or in drawn ones.
_TABLE = """
name         cge          sine core      store  merge loops bank loss    ways lanes words lfsr count

digits       environments no   pipelined blocks unit  yes   2    softmax 2    3     usual 48   16
large        environments no   pipelined blocks unit  yes   2    softmax 1    5     usual 32   16
wide         environments no   pipelined spram  lanes yes   1    softmax 3    16    usual 64   6
plain        environments no   pipelined blocks lanes yes   1    softmax 1    1     usual 40   16
regression   environments no   pipelined blocks unit  yes   1    mse     2    5     drawn 33   16
lanes-merge  environments no   pipelined blocks lanes yes   2    mse     1    3     drawn 48   6
three-ways   environments no   pipelined spram  unit  yes   2    softmax 3    7     drawn 64   6
small        environments no   compact   spram  lanes yes   1    softmax 1    1     usual 40   16
small-wide   environments no   compact   blocks lanes yes   2    mse     2    8     drawn 33   16
small-ways   environments no   compact   blocks lanes yes   2    softmax 3    5     drawn 64   6
small-serial environments no   compact   spram  lanes yes   2    softmax 1    3     drawn 48   16

digits-small forward      no   compact   spram  lanes no    1    softmax 1    5     usual 32   16
raised       forward      yes  pipelined spram  unit  no    1    softmax 1    1     usual 64   16
raised-wide  forward      yes  pipelined spram  unit  no    1    mse     1    16    drawn 48   16
raised-lanes forward      no   pipelined blocks lanes yes   2    softmax 2    5     drawn 40   6
raised-one   forward      yes  compact   spram  lanes yes   1    softmax 1    1     drawn 33   16
raised-mse   forward      no   compact   blocks lanes no    2    mse     1    1     usual 32   6
common-ways  forward      no   compact   common lanes no    1    softmax 2    3     drawn 32   6
common-wide  forward      yes  compact   common lanes yes   1    softmax 1    8     usual 32   16

mnist-small  none         no   compact   common lanes yes   1    softmax 1    7     drawn 48   6
common-one   none         yes  compact   common lanes yes   1    mse     1    1     usual 64   6
eight        none         no   pipelined spram  unit  no    2    softmax 1    8     drawn 32   6
many         none         yes  pipelined blocks unit  no    2    mse     1    17    drawn 32   6
rge-only     none         no   pipelined spram  unit  yes   1    mse     2    5     drawn 64   16
rge-small    none         yes  compact   blocks lanes no    2    softmax 2    7     usual 48   16
rge-one      none         no   pipelined blocks lanes yes   2    softmax 1    1     drawn 33   16
"""

#: Rows whose chips split their steps.
_SPLIT = ("regression", "raised-wide", "common-one", "eight")

_LOSSES = {"softmax": Loss.SOFTMAX_CROSS_ENTROPY, "mse": Loss.MEAN_SQUARED_ERROR}
_ANSWERS = {"yes": True, "no": False}
#: Bits that a sum of products has above one product.
_SUM_BITS = 5

#: Memories of all these chips, but those that follow from what a row says. More than 256 parameters
#: and losses: so many are in SPRAM where there is such.
SIZES = {
    "parameter_depth": 300, "evaluation_depth": 301, "scratch_depth": 900, "preact_depth": 80,
    "program_depth": 900, "sample_depth": 120, "output_depth": 16, "query_depth": 8,
}  # fmt: skip
#: Words of the weight memory, of each bank where there is a merge unit.
_WEIGHTS = 700


@dataclass(frozen=True)
class Structure:
    """A named chip."""

    name: str
    chip: Chip

    @property
    def seed(self) -> int:
        """Where what is drawn for it begins: no other row of the table moves it."""
        return crc32(self.name.encode())

    @classmethod
    def parse(cls, columns: list[str], row: list[str]) -> "Structure":
        """The chip of a row of the table."""
        said = dict(zip(columns, row, strict=True))
        if said["words"] not in ("usual", "drawn"):
            raise ValueError(f"Words are usual or drawn, not {said['words']!r}")
        rng = np.random.default_rng(crc32(said["name"].encode()))
        while True:
            formats = Formats()
            if said["words"] == "drawn":
                alike, sine = said["store"] == Store.COMMON, _ANSWERS[said["sine"]]
                formats = draw.formats(rng, alike=alike, sine=sine)
            product = formats.weight.width + formats.lane_width - 1
            fits = formats.cge_mu and product + _SUM_BITS <= 48
            if (formats == Formats()) == (said["words"] == "usual") and fits:
                return cls(said["name"], _chip(said, formats, max(32, product + _SUM_BITS)))


def _chip(said: dict[str, str], formats: Formats, acc_width: int) -> Chip:
    lanes, ways, unit = int(said["lanes"]), int(said["ways"]), said["merge"] == "unit"
    loss, per_way = _LOSSES[said["loss"]], -(-lanes // ways)
    outputs = 1 if loss.record.labels else SIZES["output_depth"]
    return Chip(
        lanes=lanes,
        formats=formats,
        loss=loss,
        cge=Cge(said["cge"]),
        core=Core(said["core"]),
        store=Store(said["store"]),
        sine=_ANSWERS[said["sine"]],
        loops=_ANSWERS[said["loops"]],
        split=said["name"] in _SPLIT,
        sample_banks=int(said["bank"]),
        loss_ways=ways,
        lfsr_degree=int(said["lfsr"]),
        count_width=int(said["count"]),
        merge_depth=_WEIGHTS if unit else 0,
        weight_depth=_WEIGHTS * (1 + unit),
        # Two passes of the most values, or six labels, fill it.
        target_depth=max(2, per_way * (2 * outputs if outputs > 1 else 6)),
        acc_width=acc_width,
        **SIZES,
    )


def _parse_table() -> tuple[Structure, ...]:
    columns, *rows = (line.split() for line in _TABLE.splitlines() if line.strip())
    return tuple(Structure.parse(columns, row) for row in rows)


STRUCTURES = _parse_table()
