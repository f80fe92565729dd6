"""Run modes of a program: `python PROGRAM.py MODE...`. Each mode is a function whose assertions must hold.

For each mode one line of JSON says whether it passed. These files run in environments without this project, so they
import nothing of it. Environment variables hold the addresses of the servers.
"""

import asyncio
import inspect
import json
import os
import sys
import time
import traceback

BASE = os.environ.get("BASE", "")
V1 = f"{BASE}/v1"
ANSWER = "the whole answer"
ASK = [{"role": "user", "content": "What is it?"}]
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"type": "function", "function": {"name": "weather", "description": "Weather.", "parameters": WEATHER}}


def main(names):
    """Run the modes that the command line names; all asynchronous ones in one event loop."""
    loop = asyncio.new_event_loop()
    for name in sys.argv[1:]:
        begun, error = time.monotonic(), ""
        try:
            mode = names[name]
            if inspect.iscoroutinefunction(mode):
                loop.run_until_complete(mode())
            else:
                mode()
        except Exception:
            error = traceback.format_exc()
        row = {"mode": name, "passed": not error, "seconds": round(time.monotonic() - begun, 1), "output": error}
        print("\n" + json.dumps(row), flush=True)
