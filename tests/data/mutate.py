"""Data files that went wrong: good ones with some bytes changed, cut off or moved."""

import io
import random
import zipfile

import numpy as np

__all__ = ["mutant"]

#: What turns up in damaged or strange files.
_PIECES = (
    b"", b",", b";", b"\t", b'"', b"\n", b"\r", b"\r\n", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf",
    b"nan", b"NA", b"inf", b"-1e999", b"1e308", b"-1e-308", b"1,5", b"1_0", b"0x10", b"red", b"'",
    b"\xe2\x88\x925", b"   ", b"\\", b"9" * 400, b"x" * 200_000, b'"' + b"\n" * 50, b"(", b"<f8",
    b"|O", b"<c16", b"False", b"PK\x01\x02", b"\x93NUMPY", b"99999999", b"-1",
)  # fmt: skip


def _csv(rng: random.Random) -> bytes:
    mark = rng.choice(",;\t")
    rows = [mark.join(("id", "a", "b", "kind"))] if rng.random() < 0.7 else []
    kinds = rng.choice((("red", "blue"), ("0", "1"), ("1.5", "2.25", "-3")))
    for k in range(rng.choice((1, 3, 30, 30, 200))):
        kind = rng.choice(kinds)
        rows.append(mark.join((str(k), f"{rng.gauss(0, 9):.3f}", str(rng.random()), kind)))
    return "\n".join(rows).encode() + b"\n" * rng.randrange(3)


def _member(rng: random.Random, n: int, name: str) -> bytes:
    file = io.BytesIO()
    kinds = (
        ("<f8", "<f4", ">i2", "u1", "?", "<U3", "S2") if name[0] == "y" else ("<f8", "<f4", "u1")
    )
    shape = (n, 3) if name == "x" else rng.choice(((n,), (n,), (n, 2)))
    values = np.array([rng.randrange(3) for _ in range(n * (shape + (1,))[1])])
    np.lib.format.write_array(file, values.reshape(shape).astype(rng.choice(kinds)))
    return file.getvalue()


def _damaged(rng: random.Random, content: bytes) -> bytes:
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        place = rng.randrange(len(data) + 1)
        # Most of a file is content, what is interesting stands at its ends.
        place = rng.choice((place, min(place, 130), max(0, len(data) - place % 100)))
        action = rng.choice((0, 0, 0, 1, 1, 2, 3, 4, 5))
        if action == 0:
            data[place : place + 1] = bytes([rng.randrange(256)])
        elif action == 1:
            data[place:place] = rng.choice(_PIECES)
        elif action == 2:
            data[place : place + rng.randrange(1, 9)] = rng.choice(_PIECES)
        elif action == 3:
            del data[place : place + rng.randrange(1, 20)]
        elif action == 4:
            del data[place:]
        else:
            data[place:place] = data[rng.randrange(len(data) + 1) :][: rng.randrange(60)]
    return bytes(data)


def _npz(rng: random.Random) -> bytes:
    n = rng.choice((1, 4, 30, 30, 200))
    members = {name: _member(rng, n, name) for name in "xy"}
    if rng.random() < 0.2:
        members = {f"{k}_{part}": v for part in ("train", "test") for k, v in members.items()}
    inside = rng.random() < 0.7
    if inside:  # below a checksum that is right
        name = rng.choice([*members])
        members[name] = _damaged(rng, members[name])
    file = io.BytesIO()
    method = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    content = file.getvalue()
    return content if inside and rng.random() < 0.9 else _damaged(rng, content)


def mutant(seed: int) -> tuple[str, bytes]:
    """Name and content of a file, always the same for a seed; some are good data."""
    rng = random.Random(seed)
    if rng.random() < 0.5:
        return "t.csv", _damaged(rng, _csv(rng))
    return "t.npz", _npz(rng)
