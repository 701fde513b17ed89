"""The benchmark (``make bench``): what steps cost on the chip, in simulation, golden and PyTorch.

Each file measures one thing and returns plain values; ``report`` combines them, ``show`` prints
them. Nothing here is a test.
"""
