"""One client: its configuration, its sessions, and the mails that go through them.

This room knows whose turn it is, what was learnt from the server, and how a mail is
sent: command by command, alone, in a run of many, or in a pipeline.
"""
