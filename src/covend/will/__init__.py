"""The will: pure functions that decide what the hardware should be next.

Nothing here does I/O, reads a clock, starts a thread or knows an actor: time comes in as an
argument (monotonic seconds), facts come in as structs, and what comes out is data.
"""
