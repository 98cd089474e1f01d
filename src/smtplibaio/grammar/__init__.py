"""What is said: commands, replies, addresses, extensions and their parameters.

This room knows the grammar of RFC 5321 and of its extensions: how a command line is
spelt, how a reply is read, what a mailbox is. It does not know who says what, or when.
"""
