"""A release's prompt, served as an OpenAI-compatible application in front of its engine."""
