"""Reports of evaluation runs: pages, plots and LangSmith experiments."""
