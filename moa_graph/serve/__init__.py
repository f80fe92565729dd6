"""The HTTP app: an OpenAI-compatible endpoint and the page, standalone (`moa serve`) or under `langgraph dev`."""
