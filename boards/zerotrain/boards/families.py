"""The FPGA families that this package drives."""

from types import MappingProxyType

from zerotrain.boards.family import Family, Resource
from zerotrain.boards.floorplan import floorplan
from zerotrain.boards.netlist import logic_cells
from zerotrain.boards.pack_registers import pack_registers

__all__ = ["ECP5", "FAMILIES", "ICE40"]

# Shapes (word width, words) that Yosys makes of one block: SB_RAM40_4K, DP16KD.
_ICE40_SHAPES = ((16, 256), (8, 512), (4, 1024), (2, 2048), (1, 4096))
_ECP5_SHAPES = ((36, 512), (18, 1024), (9, 2048), (4, 4096), (2, 8192), (1, 16384))


def _ice40_blocks(depth: int, width: int, part: int) -> int:
    """The 16-bit shape has a write enable per bit; the others are written whole."""
    # The last bits of a part may sit in blocks of another shape than the first.
    best = [0] * (part + 1)
    for bits in range(1, part + 1):
        best[bits] = min(best[max(0, bits - w)] + -(-depth // d) for w, d in _ICE40_SHAPES)
    masked = -(-width // 16) * -(-depth // 256)
    blocks = min(masked, width // part * best[part])
    # Smaller memories become flip-flops.
    return 0 if depth * width <= 64 * blocks + 8 else blocks


def _ecp5_blocks(depth: int, width: int, part: int) -> int:
    """Wide shapes have a write enable per 9 bits; the others are written whole."""
    counts = []
    for w, d in _ECP5_SHAPES:
        if part == width:
            columns = -(-width // w)
        elif w >= 9:
            columns = -(-(width // part * (-(-part // 9) * 9)) // w)
        else:
            columns = width // part * -(-part // w)
        counts.append(columns * -(-depth // d))
    blocks = min(counts)
    lut_rams = -(-depth // 16) * -(-part // 4) * (width // part)
    return 0 if 4 * lut_rams < 128 * blocks else blocks


ICE40 = Family(
    name="ice40",
    multiplier="SB_MAC16",
    block_ram="SB_RAM40_4K",
    cells={
        Resource.LUT: {"SB_LUT4": 1},
        Resource.FF: {"SB_DFF": 1},
        Resource.CARRY: {"SB_CARRY": 1},
        Resource.MULTIPLIER: {"SB_MAC16": 1},
        Resource.BLOCK_RAM: {"SB_RAM40_4K": 1},  # 4 kbit
        Resource.SPRAM: {"SB_SPRAM256KA": 1},  # 256 kbit
    },
    logic_cells=logic_cells,
    operand_bits=16,
    blocks=_ice40_blocks,
    dual_port=False,
    lanes_merge=True,
    # Neither the multipliers nor the large RAMs are used unless asked for.
    synthesis="synth_ice40 -device u -dsp -spram",
    constraint_form="pcf",
    pin="set_io {port} {site}\n",
    clock="set_frequency {port} {megahertz:g}\n",
    bitstream=("asc", "asc"),
    not_modelled=(
        "delays into, inside and out of SB_MAC16 and SB_SPRAM256KA (nextpnr has no data on them: a "
        "path that begins or ends there looks faster than it is)",
        "uncertainty of the clock",
    ),
    cell_names=("SB_",),
)

ECP5 = Family(
    name="ecp5",
    multiplier="MULT18X18D",
    block_ram="DP16KD",
    cells={
        # A carry cell is two LUTs; a 16 x 4 LUT RAM is four, and blocks two that write it.
        Resource.LUT: {"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 6},
        Resource.FF: {"TRELLIS_FF": 1},
        Resource.CARRY: {"CCU2C": 1},  # of two bits each
        Resource.LUT_RAM: {"TRELLIS_DPR16X4": 1},  # 16 words of 4 bits
        Resource.MULTIPLIER: {"MULT18X18D": 1},
        Resource.BLOCK_RAM: {"DP16KD": 1, "PDPW16KD": 1},  # 18 kbit
    },
    operand_bits=18,
    blocks=_ecp5_blocks,
    dual_port=True,
    lanes_merge=False,
    synthesis="synth_ecp5",
    pack=pack_registers,
    constraint_form="lpf",
    pin='LOCATE COMP "{port}" SITE "{site}";\nIOBUF PORT "{port}" IO_TYPE={standard};\n',
    clock='FREQUENCY PORT "{port}" {megahertz:g} MHZ;\n',
    bitstream=("textcfg", "config"),
    # On a nearly full part the default router does not end. This one forgets the clock unless told:
    # a 64-lane chip that was placed for 98 MHz came out at 77.
    route_options=("--router", "router2", "--tmg-ripup"),
    floorplan=floorplan,
    not_modelled=("uncertainty of the clock",),
    cell_names=(
        "TRELLIS_",
        "LUT4",
        "PFUMX",
        "L6MUX21",
        "CCU2C",
        "DP16KD",
        "PDPW16KD",
        "MULT18X18D",
    ),
)

#: By name.
FAMILIES = MappingProxyType({family.name: family for family in (ICE40, ECP5)})
