"""Wire dialects: pure translation between the words of `core.model` and the bytes of a protocol; no sockets."""
