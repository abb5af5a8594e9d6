"""Builders of tiny checkpoints and recipes for tests of the plan, the engine and the laws of every method."""
