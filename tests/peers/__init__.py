"""Comparisons with other tools, which run in environments of their own; skipped where those are absent."""
