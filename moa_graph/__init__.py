"""Mixture-of-Agents as a LangGraph graph."""

__version__ = "0.1.0"
