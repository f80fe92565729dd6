"""The HTTP app: an OpenAI-compatible endpoint and the page, by themselves (`moa serve`) or under `langgraph dev`."""
