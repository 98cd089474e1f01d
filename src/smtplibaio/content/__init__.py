"""What follows DATA: the octets of a message, from what callers have to what leaves.

This room knows the forms that a message comes in, its header block, its canonical form
with CRLF line ends, and how the end of it is marked.
"""
