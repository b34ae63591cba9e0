"""How cells are swapped for others, and what plaintext columns and renames have in common with it."""
