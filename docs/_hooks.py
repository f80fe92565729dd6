"""mkdocs: links to files outside of docs/ lead to the repository that pyproject.toml names."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
REPOSITORY = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Repository"]


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Rewrite `](../x)`. tests/test_docs.py checks that each such file exists."""
    return re.sub(r"\]\(\.\./", f"]({REPOSITORY}/blob/main/", markdown)
