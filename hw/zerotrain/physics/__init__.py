"""Differential equations: the language in which they are written, and the nodes that derivatives
are taken from."""
