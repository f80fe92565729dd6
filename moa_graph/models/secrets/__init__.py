"""Keys: where they are found, which host may get them, and their removal from texts."""
