"""Runs one mode of a program: `python PROGRAM.py MODE`. It ends with 0 when the mode's assertions hold.

These files run in environments without this project, so they import nothing of it. The environment variables V1, BASE
and MCP hold the addresses of the served endpoints.
"""

import asyncio
import inspect
import os
import sys

BASE = os.environ.get("BASE", "")
V1 = f"{BASE}/v1"
ANSWER = "the whole answer"
ASK = [{"role": "user", "content": "What is it?"}]
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"type": "function", "function": {"name": "weather", "description": "Weather.", "parameters": WEATHER}}


def main(names):
    """Run the mode that the command line names, a function of the program."""
    mode = names[sys.argv[1]]
    if inspect.iscoroutinefunction(mode):
        asyncio.run(mode())
    else:
        mode()
    print("OK")
