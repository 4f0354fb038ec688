"""The demo: real language models swapped under load on this machine."""
