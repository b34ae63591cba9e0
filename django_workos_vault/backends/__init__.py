"""Where data keys are made and unwrapped: WorkOS Vault over HTTP, or a local stand-in."""
