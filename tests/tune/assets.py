"""The recorded sets, where they are on this disk."""

import pytest

from benchmarks.combine.__main__ import ASSETS as ASSETS

needs_assets = pytest.mark.skipif(not (ASSETS / "recorded_drafts").is_dir(), reason="needs the recorded drafts")
