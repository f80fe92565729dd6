"""One checked reply from whatever a provider sends: its text, reasoning, tool calls, tokens and end."""
