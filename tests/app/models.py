"""Models that the tests write and read."""
