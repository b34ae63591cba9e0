"""What the Vault page of the admin shows, gathered in a moment: from samples, estimates and this process."""
