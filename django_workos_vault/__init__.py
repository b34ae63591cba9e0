"""Encrypted Django model fields whose keys live in WorkOS Vault."""

__version__ = "0.1.0"
