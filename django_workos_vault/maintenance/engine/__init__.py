"""Moves columns from one state to another while others read and write them: runs and chunks as records."""
