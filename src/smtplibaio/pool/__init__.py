"""The sessions of a service: kept, shared between tasks, and replaced in time.

What is decided (`policy` and the modules below it) knows no event loop and no socket:
it is told what has happened and what time it is, and says what to close, what to open
and who gets which session. `connections` does that, and nothing else.
"""
