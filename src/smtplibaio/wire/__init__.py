"""One connection: octets become replies, and each reply goes to what waits for it.

This room knows the transport, TLS, and the order of the replies. It knows no commands.
"""
