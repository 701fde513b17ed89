"""Numbers with their nouns, and sentences that are cut."""

from zerotrain.spec.words import counted, cut


def test_counted() -> None:
    assert [counted(n, "lane") for n in (0, 1, 2, 1000)] == [
        "0 lanes", "one lane", "2 lanes", "1,000 lanes",
    ]  # fmt: skip


def test_cut() -> None:
    assert cut("a" * 1000) == "a" * 1000
    assert cut("a" * 700 + "b" * 700) == "a" * 600 + " ... " + "b" * 200
