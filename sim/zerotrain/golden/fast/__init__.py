"""The golden model's fast twin: the same losses and flags, bit for bit, for whole trainings.

:mod:`zerotrain.golden.fast.engine` stands beside the readable functions of
:mod:`zerotrain.golden.steps`; tests hold the two equal. Words are carried in 16 or 32 bits, as
their formats need; sums of products of 16-bit words in 32 bits where a bound on the values at hand
proves that they fit, all others as exact ``float64``. The work is cut into tasks that threads
share. Every task writes words of its own, so neither the number of threads nor their order can
change a bit.

Compiling takes some seconds, once for every version of these files: modules here are imported when
the first step needs them.
"""
