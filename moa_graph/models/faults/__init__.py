"""What a failed request means, and when it is tried again."""
