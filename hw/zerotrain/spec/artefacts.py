"""Files that describe a chip to other software: ``csr.csv``, ``csr.json`` and ``zerotrain.h``.

All three hold the same registers, windows and constants: those of the chip and, where an
:class:`Application` is given, those that a host writes to run its network. The program itself is in
none of them: the generated Verilog holds it as the program memory's initial contents. The text
depends on chip and application alone, so files can be compared byte by byte between builds.
``csr.csv`` and ``csr.json`` follow LiteX's exports (``csr_base``, ``csr_register``, ``constant``,
``memory_region``): LiteX's ``CSRBuilder`` reads the former. The JSON file holds widths and
descriptions besides.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import IntEnum, IntFlag
from pathlib import Path
from typing import Any

from zerotrain.spec.batch import address_bits
from zerotrain.spec.chip import Chip
from zerotrain.spec.files import make_folder, write_atomic
from zerotrain.spec.formats import QFormat
from zerotrain.spec.network import Network
from zerotrain.spec.program import Program
from zerotrain.spec.registers import (
    IDENTIFIER,
    REGISTERS,
    VERSION,
    Baseline,
    Command,
    Error,
    Register,
    Saturation,
    Status,
    UpdateRule,
    Window,
    windows,
)
from zerotrain.spec.step import StepSettings

__all__ = ["Application", "c_header", "csr_csv", "csr_json", "write_artefacts"]

#: Depths and sizes of the chip that host software needs, besides its windows.
_SIZES = (
    "lanes", "parameter_depth", "weight_depth", "merge_depth", "sample_banks", "sample_depth",
    "target_depth", "scratch_depth", "preact_depth", "program_depth", "output_depth",
    "evaluation_depth", "query_depth", "loss_ways", "lfsr_degree",
)  # fmt: skip
#: Enumerations by their prefix in the C header.
_ENUMS: dict[str, type[IntEnum] | type[IntFlag]] = {
    "command": Command,
    "status": Status,
    "error": Error,
    "saturation": Saturation,
    "baseline": Baseline,
    "update": UpdateRule,
}
#: What LiteX's reader must know of the bus: bits of a register and of an address.
_LITEX = {"config_csr_data_width": 32, "config_bus_address_width": 32}


@dataclass(frozen=True, slots=True)
class Application:
    """What a host writes into a chip's registers to train a network on it.

    Parameters
    ----------
    network : Network
        The network.
    program : Program
        Its program for the chip.
    batch : int
        Samples of a step.
    steps : mapping of str to StepSettings
        Settings of training steps by a name for them, such as ``rge`` and ``cge``.
    """

    network: Network
    program: Program
    batch: int
    steps: Mapping[str, StepSettings] = field(default_factory=dict)

    def registers(self, chip: Chip) -> dict[str, int]:
        """Values of the registers that stay the same from step to step, by the register's name."""
        layout = chip.layout
        return {
            "n_parameters": self.network.n_parameters,
            "n_inputs": self.network.n_inputs,
            "n_outputs": self.network.n_outputs,
            "passes": layout.passes(self.batch),
            "last_lanes": layout.last_lanes(self.batch),
            "program_merge": self.program.merge,
            "program_forward": self.program.forward,
            "program_cge_merge": self.program.cge_merge,
            "program_cge": self.program.cge,
        }

    def constants(self, chip: Chip) -> dict[str, int]:
        """All these numbers by lower-case name, in one fixed order."""
        out = self.registers(chip) | {"n_targets": self.network.n_targets, "batch": self.batch}
        out["program_rows"] = len(self.program.rows)
        for step, settings in self.steps.items():
            out |= {f"{step}_{name}": int(value) for name, value in asdict(settings).items()}
        return out


def _constants(chip: Chip, application: Application | None) -> dict[str, int]:
    """Numbers of the chip and of its application by lower-case name, in one fixed order."""
    out = {"identifier": IDENTIFIER, "version": VERSION, "config_hash": chip.config_hash}
    out |= {name: getattr(chip, name) for name in _SIZES}
    out["target_is_label"] = int(chip.loss.record.labels)
    for name in chip.formats.to_dict():
        value = getattr(chip.formats, name)
        if isinstance(value, QFormat):
            out |= {f"{name}_width": value.width, f"{name}_frac_bits": value.frac_bits}
        else:
            out[name] = value
    return out | (application.constants(chip) if application else {})


def _litex_access(register: Register) -> str:
    """LiteX knows read-only and read-write; writing ones to clear is a kind of writing."""
    return "ro" if register.access == "r" else "rw"


def csr_csv(
    chip: Chip,
    application: Application | None = None,
    *,
    base: int = 0,
    name: str = "zerotrain",
) -> str:
    """Registers, constants and windows as comma-separated values in LiteX's layout.

    Parameters
    ----------
    chip : Chip
        The chip.
    application : Application, optional
        What is trained on it.
    base : int
        Byte address of the chip on the system's bus.
    name : str
        Prefix of register, constant and window names.
    """
    rows = [
        "# kind,name,address or value,size,access or type",
        "# csr_register sizes are 32-bit words, memory_region sizes are bytes",
        f"csr_base,{name},0x{base:08x},,",
    ]
    for r in REGISTERS:
        rows.append(f"csr_register,{name}_{r.name},0x{base + r.address:08x},1,{_litex_access(r)}")
    rows += [f"constant,{key},{value},," for key, value in _LITEX.items()]
    constants = _constants(chip, application)
    rows += [f"constant,{name}_{key},{value},," for key, value in constants.items()]
    for w in windows(chip).values():
        rows.append(f"memory_region,{name}_{w.name},0x{base + w.base:08x},{4 * w.words},io")
    return "\n".join(rows) + "\n"


def csr_json(
    chip: Chip,
    application: Application | None = None,
    *,
    base: int = 0,
    name: str = "zerotrain",
) -> str:
    """The same as :func:`csr_csv`, in LiteX's JSON layout, with widths, descriptions and the chip.

    Parameters
    ----------
    chip : Chip
        The chip.
    application : Application, optional
        What is trained on it.
    base : int
        Byte address of the chip on the system's bus.
    name : str
        Prefix of register, constant and window names.
    """
    content: dict[str, Any] = {
        "csr_bases": {name: base},
        "csr_registers": {
            f"{name}_{r.name}": {
                "addr": base + r.address,
                "size": 1,
                "type": _litex_access(r),
                "width": r.width,
                "write_ones_to_clear": r.access == "rc",
                "description": r.doc,
            }
            for r in REGISTERS
        },
        "constants": _LITEX
        | {f"{name}_{key}": value for key, value in _constants(chip, application).items()},
        "memories": {
            f"{name}_{w.name}": {
                "base": base + w.base,
                "size": 4 * w.words,
                "type": "io",
                "words": w.words,
                "width": w.width,
                "signed": w.signed,
                "description": w.doc,
            }
            for w in windows(chip).values()
        },
        "enumerations": {
            prefix: {str(member.name).lower(): int(member) for member in kind}
            for prefix, kind in _ENUMS.items()
        },
        "chip": chip.to_dict(),
    }
    return json.dumps(content, indent=2) + "\n"


def _define(name: str, value: str, doc: str = "") -> str:
    return f"#define ZEROTRAIN_{name.upper()} {value}" + (f" /* {doc} */" if doc else "")


def _window_lines(window: Window) -> list[str]:
    kind = "signed" if window.signed else "unsigned"
    return [
        f"/* {window.doc}: {window.words} words of {window.width} bits, {kind} */",
        _define(f"{window.name}_base", f"0x{window.base:x}u"),
        _define(f"{window.name}_words", f"{window.words}u"),
    ]


def _layout_functions(chip: Chip) -> list[str]:
    """C functions for the windows whose word order is not the obvious one."""
    sample_bits, target_bits = address_bits(chip.sample_depth), address_bits(chip.target_depth)
    bank_bits = chip.sample_banks - 1
    return [
        "/* Byte offset of one input of one sample: sample s of a batch is in lane s % lanes of",
        " * pass s / lanes. `n_inputs` is the network's. */",
        "static inline uint32_t zerotrain_sample_offset(uint32_t bank, uint32_t sample,",
        "                                               uint32_t input, uint32_t n_inputs)",
        "{",
        "    uint32_t lane = sample % ZEROTRAIN_LANES, pass = sample / ZEROTRAIN_LANES;",
        f"    uint32_t word = (lane << {sample_bits + bank_bits}) | (bank << {sample_bits})",
        "                    | (pass * n_inputs + input);",
        "    return ZEROTRAIN_SAMPLES_BASE + 4u * word;",
        "}",
        "",
        "/* Byte offset of one target of one sample; a label is target 0 of 1. */",
        "static inline uint32_t zerotrain_target_offset(uint32_t bank, uint32_t sample,",
        "                                               uint32_t target, uint32_t n_targets)",
        "{",
        "    uint32_t lane = sample % ZEROTRAIN_LANES, pass = sample / ZEROTRAIN_LANES;",
        "    uint32_t way = lane % ZEROTRAIN_LOSS_WAYS;",
        f"    uint32_t per_way = {chip.layout.lanes_per_way}u;",
        "    uint32_t row = (pass * per_way + lane / ZEROTRAIN_LOSS_WAYS) * n_targets + target;",
        f"    uint32_t word = (way << {target_bits + bank_bits}) | (bank << {target_bits}) | row;",
        "    return ZEROTRAIN_TARGETS_BASE + 4u * word;",
        "}",
        "",
    ]


def _application_functions(chip: Chip, application: Application) -> list[str]:
    """C functions that write what a step needs, from the constants above."""
    lines = [
        "/* Write what stays the same from step to step; parameters, momentum and generator state",
        " * are the host's. The program is in the memory's initial contents. */",
        "static inline void zerotrain_configure(uintptr_t base)",
        "{",
        *(_write(name, name) for name in application.registers(chip)),
        "}",
        "",
    ]
    for step, settings in application.steps.items():
        lines += [
            f"/* Write the settings of {step} steps, the first one's step size among them. */",
            f"static inline void zerotrain_configure_{step}(uintptr_t base)",
            "{",
            *(_write(name, f"{step}_{name}") for name in asdict(settings)),
            "}",
            "",
        ]
    return [
        *lines,
        "/* Start a step (ZEROTRAIN_COMMAND_...) on the batch in a bank of samples and targets. */",
        "static inline void zerotrain_start(uintptr_t base, uint32_t command, uint32_t bank)",
        "{",
        "    zerotrain_write(base, ZEROTRAIN_REG_BANK, bank);",
        "    zerotrain_write(base, ZEROTRAIN_REG_COMMAND, command);",
        "}",
        "",
    ]


def _write(name: str, constant: str) -> str:
    target, value = f"ZEROTRAIN_REG_{name.upper()}", f"ZEROTRAIN_{constant.upper()}"
    return f"    zerotrain_write(base, {target}, {value});"


def c_header(chip: Chip, application: Application | None = None) -> str:
    """Registers, windows and constants as a C99 header without dependencies.

    Addresses are byte offsets from the chip's base, which every function takes as an argument.
    """
    lines = [
        "/* A Zerotrain chip as seen from its bus. Generated; do not edit. */",
        "#ifndef ZEROTRAIN_H",
        "#define ZEROTRAIN_H",
        "",
        "#include <stdint.h>",
        "",
        "/* The chip. */",
    ]
    for key, value in _constants(chip, application).items():
        lines.append(_define(key, f"0x{value:08x}u" if value >= 1 << 16 else f"{value}u"))
    lines += ["", "/* Registers: byte offsets, and masks of the implemented bits. */"]
    for r in REGISTERS:
        lines.append(_define(f"reg_{r.name}", f"0x{r.address:02x}u", r.doc))
        lines.append(_define(f"reg_{r.name}_mask", f"0x{(1 << r.width) - 1:x}u"))
    for prefix, kind in _ENUMS.items():
        lines += ["", f"/* {(kind.__doc__ or prefix).strip().splitlines()[0]} */"]
        lines += [_define(f"{prefix}_{m.name}", f"{int(m)}u") for m in kind]
    lines += ["", "/* Windows: byte offsets and sizes in 32-bit words. */"]
    for w in windows(chip).values():
        lines += _window_lines(w)
    lines += [
        "",
        "static inline uint32_t zerotrain_read(uintptr_t base, uint32_t offset)",
        "{",
        "    return *(volatile uint32_t *)(base + offset);",
        "}",
        "",
        "static inline void zerotrain_write(uintptr_t base, uint32_t offset, uint32_t value)",
        "{",
        "    *(volatile uint32_t *)(base + offset) = value;",
        "}",
        "",
        "/* Whether a chip of exactly this configuration answers at `base`. */",
        "static inline int zerotrain_present(uintptr_t base)",
        "{",
        "    return zerotrain_read(base, ZEROTRAIN_REG_IDENTIFIER) == ZEROTRAIN_IDENTIFIER",
        "        && zerotrain_read(base, ZEROTRAIN_REG_VERSION) == ZEROTRAIN_VERSION",
        "        && zerotrain_read(base, ZEROTRAIN_REG_CONFIG_HASH) == ZEROTRAIN_CONFIG_HASH;",
        "}",
        "",
        *_layout_functions(chip),
        *(_application_functions(chip, application) if application else []),
        "#endif",
    ]
    return "\n".join(lines) + "\n"


def write_artefacts(
    chip: Chip, folder: Path, application: Application | None = None, *, base: int = 0
) -> list[Path]:
    """Write ``csr.csv``, ``csr.json`` and ``zerotrain.h`` into a folder, made if missing.

    Returns
    -------
    list of Path
        The files written.
    """
    make_folder(folder, "the folder")
    texts = {
        "csr.csv": csr_csv(chip, application, base=base),
        "csr.json": csr_json(chip, application, base=base),
        "zerotrain.h": c_header(chip, application),
    }
    for name, text in texts.items():
        write_atomic(folder / name, text)
    return [folder / name for name in texts]
