"""The golden corpus: one thread per pattern and edge, which every later covend must replay (P5)."""
