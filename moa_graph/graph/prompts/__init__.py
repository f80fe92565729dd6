"""What a model is sent: the conversation, and drafts fenced as data and cut to its window."""
