"""The oracle: random worlds, and a server that may do anything but lie.

A world is a model server, some clients, mails, faults and disturbances, all drawn from
one seed. The server refuses, hangs up, keeps transactions, says parts of replies early;
it never says that it took a mail that it did not store, or the other way round. So
after each world it is known what became of each mail, and what each caller was told
must be true:

1. Told "accepted": stored once, whole, with its own sender, for that recipient.
2. Told "refused" or "not sent", or an error with `safe_to_retry`: not stored.
3. Each mail that was handed over has an outcome, unless its caller has left, or the
   error that came instead says that it is unknown.
4. No mail is stored twice, in part, or with the sender or recipients of another one.
5. A reply names the command that it answers; a caller never gets one that names
   another.
6. Whatever is waited for ends, and no error comes that is not one of the library's.
7. A refusal that decides a mail, and that was said before the server hung up, is told.

On asyncio the clock is virtual: it jumps to the next timer when no socket has anything
to say. So time limits cost nothing, a world takes milliseconds, the same seed plays the
same world, and a world that waits for nothing is a deadlock that is seen at once.

A minute of it on each loop, an hour, or one world again::

    python -m tests.oracle --seconds 60
    python -m tests.oracle --seconds 60 --loop uvloop
    python -m tests.oracle --seconds 3600 --seed 1000000
    python -m tests.oracle --seed 4711 --worlds 1 --show

A seed that fails is made smaller (ops, faults and disturbances are left out while it
fails) and printed with the conversation that the server has seen.
"""
