"""Which backend action a conversation asks for, and with which values."""
