"""``zerotrain export``."""

from pathlib import Path

from rich.console import Console

from zerotrain.cli.target import build_folder
from zerotrain.exchange.export import export_parameters
from zerotrain.host.folder import RunFolder, latest_folder

__all__ = ["export_run"]


def export_run(
    console: Console, run: RunFolder | None, output: Path | None, *, dense: bool, force: bool
) -> None:
    """Write the parameters of a run, finished or not, into a file."""
    folder = run or latest_folder()
    config, checkpoint = folder.state()
    network = config.network
    name = build_folder(network.name, None)
    path = output or name.with_name(f"{name.name}{'-dense' if dense else ''}.npz")
    count = export_parameters(
        path, network, config.chip.formats, checkpoint.theta,
        identity=checkpoint.identity, step=checkpoint.step, dense=dense, force=force,
    )  # fmt: skip
    console.print(
        f"{folder.path}: {network.name} after step {checkpoint.step}, {count} arrays. "
        f"Export: {path}",
        soft_wrap=True,
    )
