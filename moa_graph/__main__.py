"""`python -m moa_graph` is the command `moa`."""

import sys

from moa_graph.cli import main

sys.exit(main())
