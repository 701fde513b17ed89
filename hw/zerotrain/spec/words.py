"""Words of sentences for people."""

__all__ = ["counted", "cut"]

#: Characters of a sentence, and of what is left of a longer one before and behind the gap.
_LONGEST, _BEFORE, _BEHIND = 1000, 600, 200


def counted(number: int, noun: str) -> str:
    """``"one lane"`` or ``"1,000 lanes"``."""
    return f"one {noun}" if number == 1 else f"{number:,} {noun}s"


def cut(sentence: str) -> str:
    """A sentence whose middle is left out if it repeats something endless."""
    if len(sentence) <= _LONGEST:
        return sentence
    return f"{sentence[:_BEFORE]} ... {sentence[-_BEHIND:]}"
