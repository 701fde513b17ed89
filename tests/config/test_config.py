"""TOML configurations: presets, round trip, and one clear sentence for every mistake."""

from dataclasses import replace
from pathlib import Path

import pytest

from zerotrain.config.config import ChipOptions, Config, preset_names
from zerotrain.config.training import CgeStage, Decay, RgeStage, Rule, Training
from zerotrain.spec.chip import Cge
from zerotrain.spec.formats import Formats, QFormat
from zerotrain.spec.network import Activation, Layer, dense, plain_tt

PARAMETERS = {
    "black-scholes": 3209,
    "burgers": 633,
    "heat": 633,
    "hjb-tiny": 71,
    "poisson": 633,
    "diabetes": 75,
    "digits": 510,
    "digits-small": 510,
    "hjb-3209": 3209,
    "hjb-7745": 7745,
    "hjb-small": 749,
    "mnist-small": 3962,
    "mnist-2698": 2698,
    "mnist-3962": 3962,
    "mnist-3962-fast": 3962,
    "mnist-8314": 8314,
    "mnist-dense-7940": 7940,
    "mnist-dense-814090": 814090,
}


def test_every_preset_has_a_known_number_of_parameters() -> None:
    assert preset_names() == sorted(PARAMETERS)


@pytest.mark.parametrize("name", PARAMETERS)
def test_preset(name: str) -> None:
    config = Config.preset(name)
    assert config.network.name == name
    assert config.network.n_parameters == PARAMETERS[name]
    if name == "hjb-small":
        assert config.training is None
        return
    assert config.training is not None
    assert Config.parse(config.to_toml()) == config
    if config.equation is not None:
        assert config.training.subspace is not None
        return
    assert config.training.rge is not None
    cge = config.chip.fixed.get("cge", Cge.ENVIRONMENTS)
    assert (config.training.cge is not None) == cge.kind.steps


def test_digits_network() -> None:
    assert Config.preset("digits").network.layers == (
        Layer((2, 4, 4, 2), (2, 4, 2, 2), (3, 3, 3), True, Activation.RELU),
        Layer((2, 4, 2, 2), (1, 5, 2, 1), (3, 3, 3)),
    )


NETWORK = """
name = "small"
[[layers]]
in_modes = [2, 3]
out_modes = [3, 2]
ranks = [2]
activation = "relu"
[[layers]]
type = "dense"
inputs = 6
outputs = 4
bias = false
"""


def test_read() -> None:
    text = NETWORK + (
        '[chip]\nlanes = 3\nquery_depth = 9\n[chip.formats]\nmomentum = "Q7.20"\ncge_mu_shift = 5\n'
        '[training]\ndataset = "digits"\nbatch = 9\n[training.rge]\nrule = "linear"\nsteps = 7\n'
        "step_size = 1\nfinal_step_size = 0.5\n"
        '[training.cge]\nsteps = 3\nstep_size = 0.1\nfinal_step_size = 0.1\ndecay = "constant"\n'
    )
    config = Config.parse(text)
    assert config.network.layers == (
        Layer((2, 3), (3, 2), (2,), True, Activation.RELU),
        dense(6, 4, bias=False),
    )
    formats = Formats(momentum=QFormat(28, 20), cge_mu_shift=5)
    assert config.chip == ChipOptions(3, formats, {"query_depth": 9})
    assert config.training == Training(
        "digits",
        batch=9,
        rge=RgeStage(7, 1.0, 0.5, rule=Rule.LINEAR),
        cge=CgeStage(3, 0.1, 0.1, Decay.CONSTANT),
    )
    assert Config.parse(config.to_toml()) == config


def test_plain_tt_layers() -> None:
    """A rank for every bond of the longer train, and no layer without ranks."""
    plain = NETWORK.replace("in_modes", 'type = "plain_tt"\nin_modes', 1)
    (found, _) = Config.parse(plain.replace("[2]", "4")).network.layers
    assert found == plain_tt((2, 3), (3, 2), (4, 4, 4), activation=Activation.RELU)
    (found, _) = Config.parse(plain.replace("[2]", "[2, 6, 3]")).network.layers
    assert found.ranks == (2, 6, 3)
    message = "configuration: layers.1.ranks is missing: expected an integer or a list of integers"
    with pytest.raises(ValueError, match=f"^{message}$"):
        Config.parse(plain.replace("ranks = [2]", "").replace("[2, 3]", "[6]"))


def test_chip_is_sized_for_the_training_and_written_exactly() -> None:
    config = Config.preset("digits")
    chip = config.build_chip()
    assert (chip.lanes, chip.query_depth, chip.sample_depth) == (8, 8, 4 * 64)
    fixed = ChipOptions.from_chip(replace(chip, cge=Cge.NONE))
    assert Config(config.network, fixed, config.training).build_chip().cge == Cge.NONE
    fixed = ChipOptions.from_chip(chip)
    again = Config.parse(Config(config.network, fixed, config.training).to_toml()).build_chip()
    assert again == chip
    assert again.config_hash == chip.config_hash


def test_a_chip_to_be_searched_for() -> None:
    """Keys beside ``auto`` are kept; without a board there is no such chip."""
    short = Config.parse('chip = "auto"\n' + NETWORK)
    assert short.chip == ChipOptions(0, Formats(), {}, auto=True)
    assert Config.parse(NETWORK + "[chip]\nauto = true\n") == short
    own = Config.parse(NETWORK + "[chip]\nauto = true\nlanes = 4\nlfsr_degree = 32\n")
    assert own.chip == ChipOptions(4, Formats(), {"lfsr_degree": 32}, auto=True)
    for config in (short, own):
        assert Config.parse(config.to_toml()) == config
        with pytest.raises(ValueError) as caught:
            config.build_chip()
        assert str(caught.value) == (
            'chip = "auto" is a chip for a board: expected --board with plan, generate or route; '
            "what generate writes as config.toml trains on that chip"
        )


def test_names_with_odd_characters_survive() -> None:
    config = Config.parse('name = "a\\"b\\\\c\\n·"' + NETWORK.replace('name = "small"', ""))
    assert config.network.name == 'a"b\\c\n·'
    assert Config.parse(config.to_toml()) == config


LAYER = "[[layers]]\ninputs = 4\noutputs = 3\ntype = 'dense'\n"
STAGE = "[training.cge]\nsteps = 3\nstep_size = 0.1\nfinal_step_size = 0.1\n"
TRAINING = LAYER + "[training]\ndataset = 'digits'\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "A network has one [[layers]] table per layer, got None"),
        ("layers = 3", "A network has one [[layers]] table per layer, got 3"),
        ("layres = 3", "Unknown key 'layres': did you mean 'layers'?"),
        (
            "xyzzy = 3",
            "Unknown key 'xyzzy': known are name, loss, layers, chip, equation, training",
        ),
        (
            NETWORK.replace("ranks", "rank"),
            "Unknown key 'rank' in [layers.1]: did you mean 'ranks'?",
        ),
        (NETWORK.replace("[2]", "[0]"), "[layers.1] ranks are positive integers, got (0,)"),
        (
            NETWORK.replace("[2]", "[2, 2]"),
            "[layers.1] A TT layer of 2 TT-cores has one inner rank, one per bond, got 2: (2, 2)",
        ),
        (
            NETWORK.replace("[2, 3]", "[2, 'a']"),
            "layers.1.in_modes is a list of integers, not [2, 'a']",
        ),
        (
            NETWORK.replace("inputs = 6", "inputs = 7"),
            "Layer 2 takes as many inputs as layer 1 has outputs: expected 6, got 7 (modes (7,))",
        ),
        (NETWORK.replace("inputs = 6", ""), "layers.2.inputs is missing: expected an integer"),
        (
            NETWORK.replace("inputs = 6\noutputs = 4", ""),
            "[layers.2] 2 keys are missing: expected inputs (an integer), outputs (an integer)",
        ),
        (
            NETWORK.replace("in_modes = [2, 3]\nout_modes = [3, 2]\nranks = [2]", ""),
            "[layers.1] 3 keys are missing: expected in_modes (a list of integers), out_modes (a "
            "list of integers), ranks (an integer or a list of integers)",
        ),
        (
            TRAINING + "[training.cge]\nsteps = 3",
            "[training.cge] 2 keys are missing: expected step_size (a number), final_step_size "
            "(a number)",
        ),
        (
            NETWORK.replace("[2]", "3.0"),
            "layers.1.ranks is an integer or a list of integers, not 3.0",
        ),
        (
            NETWORK.replace('"dense"', "[]"),
            "layers.2.type is 'tt' or 'plain_tt' or 'dense', not []",
        ),
        (
            LAYER + "[chip.formats]\nweight = 3",
            "[chip.formats.weight] A number format is written like 'Q2.13' (2 integer and 13 "
            "fraction bits besides the sign), not 3",
        ),
        (
            LAYER + "[chip.formats]\nweight = 'Q60.13'",
            "[chip.formats.weight] A format is 2 to 48 bits wide, not 74",
        ),
        (
            TRAINING + STAGE.replace("0.1", "1" + "0" * 400, 1),
            "training.cge.step_size is an integer of 64 bits at most, not one of 1330 bits",
        ),
        (
            TRAINING + STAGE.replace("steps = 3", f"steps = '{'x' * 99}'"),
            f"training.cge.steps is an integer, not '{'x' * 59}...",
        ),
        (NETWORK.replace("inputs = 6", "inputs = '6'"), "layers.2.inputs is an integer, not '6'"),
        (
            NETWORK.replace('"dense"', '"conv"'),
            "layers.2.type is 'tt' or 'plain_tt' or 'dense', not 'conv'",
        ),
        (
            NETWORK.replace('"relu"', '"rely"'),
            "layers.1.activation is 'none' or 'relu' or 'sine', not 'rely'",
        ),
        (NETWORK.replace("false", "0"), "layers.2.bias is true or false, not 0"),
        (LAYER + "[chip]\nlane = 3", "Unknown key 'lane' in [chip]: did you mean 'lanes'?"),
        (LAYER + "[chip]\nlanes = 2.5", "chip.lanes is an integer, not 2.5"),
        ("chip = 3\n" + LAYER, "chip is a table, not 3"),
        ("chip = 'small'\n" + LAYER, "chip is a table or \"auto\", not 'small'"),
        (
            LAYER + "[chip.formats]\nweight = 'Q2'",
            "[chip.formats.weight] A number format is written "
            "like 'Q2.13' (2 integer and 13 fraction bits besides the sign), not 'Q2'",
        ),
        (
            LAYER + "[chip.formats]\ndelta = 'Q-3.16'",
            "[chip.formats] Formats tt and delta share one memory word: expected delta to be "
            "16 bits wide like tt, got Q-3.16 (14 bits)",
        ),
        (LAYER + "[training]\nbatch = 3", "training.dataset is missing: expected a text"),
        (
            TRAINING,
            "[training] Training has a stage [training.rge], [training.cge] or both, got none",
        ),
        (
            TRAINING + STAGE.replace("steps = 3", "steps = 0"),
            "[training.cge] steps is at least 1, not 0",
        ),
        (
            TRAINING + STAGE + "queries = 3",
            "Unknown key 'queries' in [training.cge]: known are steps, step_size, final_step_size, "
            "decay, momentum, gradient_limit, shift",
        ),
        (
            TRAINING + STAGE + "momentum = 1",
            "[training.cge] momentum is at least 0 and below 1, not 1.0",
        ),
        (
            TRAINING + STAGE.replace("cge", "rge") + "queries = 1",
            "[training.rge] The mean baseline needs at least 2 queries, not 1",
        ),
    ],
)
def test_refusals(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        Config.parse(text, "net.toml")
    assert str(caught.value) == f"net.toml: {message}"


def test_bad_toml_and_bad_files(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^net\.toml is not valid TOML: .*line 1"):
        Config.parse("a = = 3", "net.toml")
    with pytest.raises(ValueError, match=r"^net\.toml is not valid TOML: Exceeds the limit "):
        Config.parse(f"a = {'9' * 5000}", "net.toml")
    with pytest.raises(ValueError, match=r"^net\.toml is not .*: .*(nested|recursion)"):
        Config.parse(f"a = {'[' * 5000}{']' * 5000}", "net.toml")
    path = tmp_path / "net.toml"
    path.write_bytes(b"\xef\xbb\xbf" + NETWORK.encode())
    assert Config.load(path) == Config.parse(NETWORK)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"is not a text file in UTF-8$"):
        Config.load(path)
    with pytest.raises(OSError, match=r"No such file"):
        Config.load(tmp_path / "absent.toml")
    with pytest.raises(ValueError, match=r"^There is no preset 'digit': did you mean 'digits'\?$"):
        Config.preset("digit")
