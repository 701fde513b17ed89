"""Networks, formats and settings as the plain model takes them: plain data."""

from dataclasses import asdict, fields

from zerotrain.golden.tt import Groups
from zerotrain.spec.formats import Formats, QFormat
from zerotrain.spec.network import Network
from zerotrain.spec.step import StepSettings

from .plain.steps import Plain

__all__ = ["plain_formats", "plain_model", "plain_settings"]


def plain_formats(formats: Formats) -> dict[str, tuple[int, int]]:
    values = {field.name: getattr(formats, field.name) for field in fields(formats)}
    return {k: (v.width, v.frac_bits) for k, v in values.items() if isinstance(v, QFormat)}


def plain_model(
    network: Network, formats: Formats, groups: Groups, lanes: int, degree: int
) -> Plain:
    return Plain(
        network.to_dict(), plain_formats(formats), formats.cge_mu_shift, groups, lanes, degree
    )


def plain_settings(settings: StepSettings) -> dict[str, int]:
    return {name: int(value) for name, value in asdict(settings).items()}
