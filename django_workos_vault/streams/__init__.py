"""Bytes of any length, sealed frame by frame: the format of encrypted files, written and read."""
