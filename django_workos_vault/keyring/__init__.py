"""Data keys in use: which one seals, how one is unwrapped once, how long it lives and how much it may do."""
