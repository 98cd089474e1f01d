"""The sessions of a service: shared between tasks, and replaced when they end.

`policy` and the modules below it decide which sessions to close, to open and to lend.
They use no event loop and no socket: they are told what has happened, and the time.
`connections` carries out their decisions.
"""
