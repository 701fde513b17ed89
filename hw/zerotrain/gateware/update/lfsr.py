"""The perturbation generator's recurrence as logic (docs/numerics.md, section 7)."""

from amaranth import Cat, Value

from zerotrain.spec.lfsr import feedback_mask

__all__ = ["heal", "lfsr_next"]


def lfsr_next(state: Value) -> Value:
    """The state one step later; the bit that the step emits is ``state[0]``.

    Golden model: :func:`zerotrain.golden.lfsr.step`.

    Parameters
    ----------
    state : Value
        Unsigned, as wide as the degree of the generator.

    Returns
    -------
    Value
        Unsigned, of the same width. A few exclusive-ors deep.
    """
    mask = feedback_mask(len(state))
    return Cat(state[1:], (state & mask).xor())


def heal(state: Value) -> Value:
    """The state itself, or 1 instead of the all-zero state, which would never leave itself."""
    return Cat(state[0] | ~state.any(), state[1:])
