"""What the renames led to. Each test declares its own model; the migrations speak of these."""
