"""Doors of inference engines to Tarn; each module imports its engine alone, and only when used.

docs/ENGINES.md says how each one is switched on.
"""
