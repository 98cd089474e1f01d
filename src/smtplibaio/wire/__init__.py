"""One connection: octets to replies, replies to whoever waits for them, in order.

This room knows the transport, TLS, and whose reply is due. It knows no command.
"""
