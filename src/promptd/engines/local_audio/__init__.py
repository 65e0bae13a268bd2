"""Speech and transcription on this machine, without network: flite or eSpeak NG, and PocketSphinx.

Nothing is imported here: every call starts a child process from this package, and that has to be quick.
"""
