"""Django's system checks. Ids are documented in docs/checks.md and never reused."""
