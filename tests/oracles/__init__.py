"""Independent definitions of the merge formulas, for tests only.

Plain numpy on whole models in memory, written from `docs: the formula` and from nothing else: no line is
shared with the product. Values are computed in float64. Decisions (which elements survive a threshold, which
sign wins) are taken on float32 numbers, because the product takes them there: a decision that falls on the
other side moves an element by its whole size, not by a rounding.
"""
