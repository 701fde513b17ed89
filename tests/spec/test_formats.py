"""Number formats: notation and what Formats refuses."""

import pytest

from zerotrain.spec.formats import Formats, QFormat


def test_notation_round_trip() -> None:
    for text, width, frac in (("Q2.13", 16, 13), ("Q-2.17", 16, 17), ("Q5.14", 20, 14)):
        fmt = QFormat.parse(text)
        assert (fmt.width, fmt.frac_bits, str(fmt)) == (width, frac, text)
    assert (QFormat.parse("Q2.13").raw_min, QFormat.parse("Q2.13").raw_max) == (-32768, 32767)


@pytest.mark.parametrize("text", ["2.13", "Q2", "Q2,13", "", "Qx.y"])
def test_bad_notation(text: str) -> None:
    with pytest.raises(ValueError, match=r"^A number format is written like 'Q2\.13' .*, not "):
        QFormat.parse(text)


def test_default_shifts_are_few() -> None:
    # The requantiser of a lane is a multiplexer over this set.
    assert Formats().shifts == (8, 10, 11, 13, 15)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"tt": QFormat(12, 8)},
            r"^Formats tt and delta share one memory word: expected delta to ",
        ),
        ({"preact": QFormat(17, 9)}, r"^Pre-activations are 16 bits wide \(like tt\) at most"),
        ({"weight": QFormat(18, 13)}, r"^Weights are 4 bits wide at least and 16 \(a lane word\)"),
        ({"weight": QFormat(16, 15)}, r"^Format weight must hold the value 1\.0, got Q0\.15$"),
        ({"dlogit": QFormat(16, 12)}, r"^Formats logit and dlogit share one width"),
        ({"loss": QFormat(32, 16)}, r"^The loss has 20 to 30 fraction bits, not 16$"),
        ({"delta": QFormat(16, 8)}, r"^Format delta needs at least the 11 fraction bits of input"),
        ({"cge_mu_shift": 0}, r"^CGE's mu is 2\*\*-1 to 2\*\*-12, not 2\*\*-0$"),
        ({"cge_mu_shift": 1}, r"^Format delta must hold CGE's mu = 2\*\*-1, got Q-2\.17$"),
        (
            {"weight": QFormat(16, 1), "preact": QFormat(16, 3)},
            r"^Requantisation only shifts right: .* missing 10 bits in weight Q14\.1, ",
        ),
    ],
)
def test_contradictions(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Formats(**changes)  # type: ignore[arg-type]
