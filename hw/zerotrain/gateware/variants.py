"""Which class builds what a chip chose: the only place that knows both."""

from zerotrain.gateware.engine.compact_lanes import CompactLanes, row_at_a_time, word_at_a_time
from zerotrain.gateware.engine.compact_memories import (
    CommonMemories,
    CompactMemories,
    OwnMemories,
    SharedMemories,
)
from zerotrain.gateware.engine.lane_array import LaneArray
from zerotrain.gateware.engine.pipelined_lanes import PipelinedLanes
from zerotrain.spec.chip import Chip, Core

__all__ = ["lane_array"]


def lane_array(chip: Chip) -> LaneArray:
    """The lanes of a chip."""
    if chip.core == Core.PIPELINED:
        return PipelinedLanes(chip)
    memories: type[CompactMemories] = SharedMemories
    if chip.has_environments:
        memories = OwnMemories
    if chip.common:
        memories = CommonMemories
    logits = word_at_a_time if chip.serial_loss else row_at_a_time
    return CompactLanes(chip, memories(chip), logits)
