"""What commands show and write: messages, progress, drafts, Markdown, costs, files."""
