"""One mail, as rules: the envelope, what the server permits, what became of it.

This room knows a mail transaction as a sequence of commands and replies. It writes
nothing and waits for nothing.
"""
