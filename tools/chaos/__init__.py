"""Faults on a running box, and the outside observer that judges it: ``make chaos``.

Nothing here imports covend's own view of itself. What is true is what /proc, the soulstones'
journals and the clients' sockets say.
"""
