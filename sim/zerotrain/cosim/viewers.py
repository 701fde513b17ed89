"""Files beside a trace that show its signals grouped, named, and as the numbers they stand for.

* GTKWave: a save file, and a filter file for each kind of named value.
* Surfer: a command file, and mappings of named values where Surfer looks for them, in
  ``.surfer/mappings`` of the folder that it is started in.

All name each other without folders: viewers are started in the folder of the trace, which may be
moved.
"""

from collections.abc import Iterator
from io import StringIO
from pathlib import PurePosixPath

from vcd.gtkw import GTKWFlag, GTKWSave, make_translation_filter

from zerotrain.cosim.probes import SCOPE, Probe

__all__ = ["viewer_files"]

#: Groups that are folded at first: many signals, seldom looked at.
_FOLDED = frozenset({"saturation"})


def viewer_files(shown: tuple[Probe, ...], trace: str) -> dict[PurePosixPath, str]:
    """Texts of the files beside a trace, by their names relative to its folder.

    Parameters
    ----------
    shown : tuple of Probe
        What is in the trace.
    trace : str
        Name of the trace's file, e.g. ``zerotrain.vcd``.
    """
    stem = PurePosixPath(trace).stem
    files = {
        PurePosixPath(f"{stem}.gtkw"): _gtkwave(shown, trace),
        PurePosixPath(f"{stem}.sucl"): _surfer(shown, trace),
    }
    for probe in shown:
        if probe.words:
            pairs = list(probe.words.items())
            text = make_translation_filter(pairs, datafmt="bin", size=probe.width) + "\n"
            files[PurePosixPath(_filter(probe))] = text
            lines = [f"Name = {probe.name}", f"Bits = {probe.width}"]
            lines += [f"0b{value:0{probe.width}b} {word}" for value, word in pairs]
            place = PurePosixPath(".surfer", "mappings", f"{probe.name}.txt")
            files[place] = "\n".join(lines) + "\n"
    return files


def _filter(probe: Probe) -> str:
    """File with a probe's named values, for GTKWave."""
    return f"{probe.name}.filter"


def _groups(shown: tuple[Probe, ...]) -> Iterator[tuple[str, list[Probe]]]:
    for group in dict.fromkeys(probe.group for probe in shown):
        yield group, [probe for probe in shown if probe.group == group]


def _gtkwave(shown: tuple[Probe, ...], trace: str) -> str:
    file = StringIO()
    save = GTKWSave(file)
    save.dumpfile(trace, abspath=False)
    save.size(1600, 900)
    save.signals_width(320)
    save.treeopen(SCOPE)
    for group, members in _groups(shown):
        with save.group(group, closed=group in _FOLDED):
            for probe in members:
                _gtkwave_trace(save, probe)
    return file.getvalue()


def _gtkwave_trace(save: GTKWSave, probe: Probe) -> None:
    high, low = probe.range
    name = f"{probe.path}[{high}:{low}]" if probe.width > 1 else probe.path
    label = f"{probe.name} {probe.format}" if probe.format else probe.name
    if probe.format:
        # A line of GTKWave's that pyvcd knows the flag of, but not how to write.
        save.file.write(f"[fpshift_count] {probe.format.frac_bits}\n")
        save.trace(name, alias=label, datafmt="signed", extraflags=GTKWFlag.fpdecshift)
    elif probe.words:
        save.trace(name, alias=label, datafmt="bin", translate_filter_file=_filter(probe))
    else:
        save.trace(name, alias=label, datafmt=_KIND[_kind(probe)][0])


#: How integers are shown: GTKWave's and Surfer's name of it.
_KIND = {
    "bit": ("bin", "Bit"), "signed": ("signed", "Signed"), "number": ("dec", "Unsigned"),
    "word": ("hex", "Hexadecimal"),
}  # fmt: skip


def _kind(probe: Probe) -> str:
    if probe.width == 1:
        return "bit"
    if probe.signed:
        return "signed"
    return "word" if probe.group == "bus" else "number"


def _surfer(shown: tuple[Probe, ...], trace: str) -> str:
    """Commands that add every signal under its group, and set formats.

    Surfer numbers what it shows in hexadecimal with the digits a to p.
    """
    digits = str.maketrans("0123456789abcdef", "abcdefghijklmnop")
    lines, count = [f"load_file {trace}"], 0
    for group, members in _groups(shown):
        lines.append(f"divider_add {group}")
        count += 1
        for probe in members:
            lines.append(f"variable_add {probe.path}")
            place = f"{count:x}".translate(digits)
            count += 1
            if probe.format:
                form = "Signed fixed point"
            else:
                form = probe.name if probe.words else _KIND[_kind(probe)][1]
            lines += [f"item_focus {place}_{probe.path}", f"item_set_format {form}"]
    return "\n".join([*lines, "item_unfocus", "zoom_fit"]) + "\n"
