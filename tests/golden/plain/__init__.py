"""docs/numerics.md in plain Python integers: one small independent model, slow on purpose.

Written from the page, section by section. It imports nothing of Zerotrain: networks, formats and
settings are plain data, constants are those of the page.
"""
