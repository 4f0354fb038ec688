"""The benchmarks behind docs/benchmarks.md: ``python -m tools.bench NAME [--json]``.

A bench is a module of this package with a ``TITLE`` and a function ``run() -> dict[str, Figure]``.
It is self-contained, takes a minute or less, measures its references in the same run and leaves
nothing behind. What it needs and does not find it reports by raising ``Missing``.
"""
