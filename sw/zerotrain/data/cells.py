"""Cells of tables: numbers, missing values, and how messages show them."""

__all__ = ["MISSING", "is_number", "plain", "shown"]

#: Texts that stand for a value that is not there, in small letters.
MISSING = frozenset({"", "na", "n/a", "nan", "null", "?"})

#: Characters of a cell in a message.
_SHOWN = 40


def plain(cell: str) -> str:
    """A cell in a message, quoted and cut where it is long."""
    return repr(cell if len(cell) <= _SHOWN else f"{cell[:_SHOWN]}...")


def shown(name: str) -> str:
    """A name in a message: cut where it is long, without characters that do not print."""
    text = name if len(name) <= _SHOWN else f"{name[:_SHOWN]}..."
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def is_number(cell: str) -> bool:
    """Whether a cell is a number as :class:`float` reads it, in ASCII and without underscores."""
    try:
        float(cell)
    except ValueError:
        return False
    return cell.isascii() and "_" not in cell and cell.strip().lower() not in MISSING
