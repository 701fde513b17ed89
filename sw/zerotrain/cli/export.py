"""``zerotrain export``."""

from pathlib import Path

from rich.console import Console

from zerotrain.cli.target import build_folder
from zerotrain.exchange.export import dense_arrays, describe, tt_arrays, write_export
from zerotrain.host.folder import RunFolder, latest_folder

__all__ = ["export_run"]


def export_run(
    console: Console, run: RunFolder | None, output: Path | None, *, dense: bool, force: bool
) -> None:
    """Write the parameters of a run, finished or not, into a file."""
    folder = run or latest_folder()
    config, checkpoint = folder.state()
    network, formats = config.network, config.chip.formats
    arrays = (dense_arrays if dense else tt_arrays)(network, formats, checkpoint.theta)
    name = build_folder(network.name, None)
    path = output or name.with_name(f"{name.name}{'-dense' if dense else ''}.npz")
    description = describe(network, formats, checkpoint.identity, checkpoint.step)
    write_export(path, arrays, description, force=force)
    console.print(
        f"{folder.path}: {network.name} after step {checkpoint.step}, {len(arrays)} arrays. "
        f"Export: {path}",
        soft_wrap=True,
    )
