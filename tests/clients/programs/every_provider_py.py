"""Each known provider through the command `moa`, with its key alone, against a server that speaks its protocol."""

import http.server
import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import ClassVar

from _run import main

MOA = str(Path(sys.executable).with_name("moa"))
TEXT = "It is a loopback server."
LIVE = ["old-model-2", "other"]
DEAD = "old-model-1"


class Host(http.server.BaseHTTPRequestHandler):
    """Answers in the protocol that a request's path belongs to; keeps requests as (path, headers, body)."""

    protocol_version = "HTTP/1.1"
    requests: ClassVar[list[tuple]] = []

    def do_GET(self):
        kind = "models" if self.path.endswith(("/api/tags", "/v1beta/models")) else "data"
        self._send(200, {kind: [{"id": name, "name": name} for name in LIVE]})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.requests.append((self.path, dict(self.headers.items()), body))
        if DEAD in json.dumps([self.path, body.get("model")]):
            return self._send(404, {"error": {"message": f"no model {DEAD}", "type": "not_found_error"}})
        path = self.path.partition("?")[0]
        return self._send(200, *ANSWERS[next(end for end in ANSWERS if path.endswith(end))](body))

    def _send(self, status, answer, kind="application/json"):
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


def events(*data, end=b""):
    return b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in data) + end, "text/event-stream"


def chat_completions(body):
    usage = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
    about = {"id": "c", "created": 1, "model": body["model"]}
    if body.get("stream"):
        first = {"index": 0, "delta": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}
        chunk = {**about, "object": "chat.completion.chunk", "choices": [first]}
        return events(chunk, {**chunk, "choices": [], "usage": usage}, end=b"data: [DONE]\n\n")
    choice = {"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}
    return ({**about, "object": "chat.completion", "choices": [choice], "usage": usage},)


def responses(body):
    """OpenAI's newer API, which LangChain uses for some of its models."""
    part = {"type": "output_text", "text": TEXT, "annotations": [], "logprobs": []}
    item = {"id": "i", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    usage = {"input_tokens": 7, "output_tokens": 5, "total_tokens": 12}
    usage |= {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    about = {"id": "r", "object": "response", "created_at": 1, "model": body["model"], "status": "completed"}
    fields = {"error": None, "incomplete_details": None, "instructions": None, "metadata": {}, "temperature": 1}
    fields |= {"parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "top_p": 1, "usage": usage}
    return ({**about, **fields, "output": [item]},)


def messages(body):
    message = {"id": "m", "type": "message", "role": "assistant", "model": body["model"], "stop_sequence": None}
    usage = {"input_tokens": 7, "output_tokens": 5}
    if not body.get("stream"):
        return ({**message, "content": [{"type": "text", "text": TEXT}], "stop_reason": "end_turn", "usage": usage},)
    parts = [
        {"type": "message_start", "message": {**message, "content": [], "stop_reason": None, "usage": usage}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": TEXT}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": usage},
        {"type": "message_stop"},
    ]
    lines = [f"event: {part['type']}\ndata: {json.dumps(part)}\n\n" for part in parts]
    return "".join(lines).encode(), "text/event-stream"


def generate(body):
    candidate = {"content": {"role": "model", "parts": [{"text": TEXT}]}, "finishReason": "STOP", "index": 0}
    usage = {"promptTokenCount": 7, "candidatesTokenCount": 5, "totalTokenCount": 12}
    return ({"candidates": [candidate], "usageMetadata": usage},)


def ollama_chat(body):
    part = {"model": body["model"], "created_at": "2026-01-01T00:00:00Z", "message": {"role": "assistant"}}
    said = {**part, "message": {"role": "assistant", "content": TEXT}, "done": False}
    last = {**part, "done": True, "done_reason": "stop", "prompt_eval_count": 7, "eval_count": 5}
    last["message"] = {"role": "assistant", "content": ""}
    return b"".join(json.dumps(each).encode() + b"\n" for each in (said, last)), "application/x-ndjson"


ANSWERS = {
    "/chat/completions": chat_completions,
    "/v1/responses": responses,
    "/v1/messages": messages,
    ":generateContent": generate,
    ":streamGenerateContent": lambda body: events(*generate(body)),
    "/api/chat": ollama_chat,
}

SERVER = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Host)
threading.Thread(target=SERVER.serve_forever, daemon=True).start()
URL = f"http://127.0.0.1:{SERVER.server_port}"


def moa(*arguments, code=0, **variables):
    """Run the command with these variables as its only keys; return its output and its messages."""
    Host.requests.clear()
    folder = tempfile.mkdtemp()
    own = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    env = {**own, "HOME": folder, "XDG_CONFIG_HOME": folder, "XDG_DATA_HOME": folder, **variables}
    done = subprocess.run(
        [MOA, *arguments], capture_output=True, text=True, timeout=200, env=env, cwd=folder, stdin=subprocess.DEVNULL
    )
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done.stdout, done.stderr


def one_key(key, variable, *, preset, paths, header, limit):
    """With one key and the provider's own variable for its address, `moa ask` answers and says which preset it took."""
    only = {key: "sk-planted", variable: URL}
    told, said = moa("ask", "--json", "--max-tokens", "500", "What is it?", **only)
    result = json.loads(told)
    assert result["answer"] == TEXT and {draft["status"] for draft in result["drafts"]} == {"ok"}, result
    assert all(draft["usage"]["output_tokens"] == 5 for draft in result["drafts"])
    assert f"preset `{preset}`: {key} is set" in " ".join(said.split()), said
    assert result["record"]["cost"] > 0
    assert len(Host.requests) == result["record"]["calls"]
    for place, sent, body in Host.requests:
        assert any(path in place for path in paths), place
        found = {name.lower(): text for name, text in sent.items()}
        assert found.get(header) == "sk-planted" or found.get("authorization") == "Bearer sk-planted", found
        assert limit(body) == 500, body
    streamed, _ = moa("ask", "What is it?", **only)
    assert streamed.strip() == TEXT


def fixed(model, *, key=None, variable=None, url=None):
    """`moa doctor --fix` proposes an id that the provider lists now."""
    only = {**({key: "sk-planted"} if key else {}), **({variable: URL} if variable else {})}
    server = ["--base-url", url, *(["--api-key-env", key] if key else [])] if url else []
    told, _ = moa("doctor", "--fix", "--proposer", f"{model}:{DEAD}", *server, code=1, **only)
    assert f"{model}:{LIVE[0]}" in told, told


def openais(key, variable, preset, *paths, limit=lambda body: body["max_tokens"]):
    """A provider with OpenAI's protocol."""
    one_key(key, variable, preset=preset, paths=paths, header="authorization", limit=limit)
    fixed(preset, key=key, variable=variable)


def openai():
    paths = ("/v1/chat/completions", "/v1/responses")
    limits = ("max_completion_tokens", "max_output_tokens")
    openais(
        *("OPENAI_API_KEY", "OPENAI_BASE_URL", "openai", *paths),
        limit=lambda body: next(body[name] for name in limits if name in body),
    )


def together():
    openais("TOGETHER_API_KEY", "TOGETHER_BASE_URL", "together", "/v1/chat/completions")


def openrouter():
    openais("OPENROUTER_API_KEY", "OPENROUTER_API_BASE", "openrouter", "/api/v1/chat/completions")


def groq():
    openais("GROQ_API_KEY", "GROQ_API_BASE", "groq", "/openai/v1/chat/completions")


def deepseek():
    openais("DEEPSEEK_API_KEY", "DEEPSEEK_API_BASE", "deepseek", "/v1/chat/completions")


def xai():
    openais("XAI_API_KEY", "XAI_API_BASE", "xai", "/v1/chat/completions")


def fireworks():
    openais("FIREWORKS_API_KEY", "FIREWORKS_API_BASE", "fireworks", "/inference/v1/chat/completions")


def own_protocol(key, variable, preset, path, *, header="authorization", limit=lambda body: body["max_tokens"]):
    """A provider with a protocol of its own."""
    one_key(key, variable, preset=preset, paths=[path], header=header, limit=limit)
    fixed(preset, key=key, variable=variable)


def mistral():
    own_protocol("MISTRAL_API_KEY", "MISTRAL_BASE_URL", "mistral", "/chat/completions")


def anthropic():
    own_protocol("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "anthropic", "/v1/messages", header="x-api-key")


def google():
    own_protocol(
        *("GOOGLE_API_KEY", "GOOGLE_GEMINI_BASE_URL", "google", "/models/"), header="x-goog-api-key",
        limit=lambda body: body["generationConfig"]["maxOutputTokens"],
    )  # fmt: skip


def own_server(model, address, path, limit, **variables):
    """A server of one's own: by its address on the command line, without a file and without a key."""
    server = ["--base-url", address] if address else []
    told, _ = moa("ask", "--json", "--max-tokens", "500", "--proposer", model, *server, "Hello", **variables)
    result = json.loads(told)
    assert result["answer"] == TEXT and result["record"]["cost"] in (0, None), result["record"]
    assert all(place == path and limit(body) == 500 for place, _, body in Host.requests), Host.requests
    assert len(Host.requests) == 2


def ollama():
    def limit(body):
        return body["options"]["num_predict"]

    # The address with a version path is the one of Ollama's OpenAI-compatible routes; people paste it.
    for address in (URL, f"{URL}/", f"{URL}/v1"):
        own_server("ollama:llama3", address, "/api/chat", limit)
    own_server("ollama:llama3", None, "/api/chat", limit, OLLAMA_HOST=URL.removeprefix("http://"))
    told, _ = moa("ask", "--json", "--preset", "ollama", "Hello", OLLAMA_HOST=URL)
    assert json.loads(told)["answer"] == TEXT
    fixed("ollama", url=URL)


def lmstudio():
    def limit(body):
        return body["max_tokens"]

    own_server("lmstudio:gpt-oss-20b", f"{URL}/v1", "/v1/chat/completions", limit)
    own_server("lmstudio:gpt-oss-20b", None, "/v1/chat/completions", limit, LMSTUDIO_BASE_URL=URL)
    told, _ = moa("ask", "--json", "--preset", "lmstudio", "Hello", LMSTUDIO_BASE_URL=URL)
    assert json.loads(told)["answer"] == TEXT
    fixed("lmstudio", url=f"{URL}/v1")


def compatible():
    """Any other host with OpenAI's protocol, with a key in a variable of its own."""
    server = ["--base-url", f"{URL}/v1", "--api-key-env", "VLLM_KEY"]
    told, _ = moa("ask", "--json", "--proposer", "vllm:qwen", *server, "Hello", VLLM_KEY="sk-planted")
    assert json.loads(told)["answer"] == TEXT
    keys = {text for _, sent, _ in Host.requests for name, text in sent.items() if name.lower() == "authorization"}
    assert keys == {"Bearer sk-planted"}, keys
    fixed("vllm", key="VLLM_KEY", url=f"{URL}/v1")


def unusable_key():
    """A key that no preset uses is named, and the key of another provider is used."""
    only = {"COHERE_API_KEY": "x", "GROQ_API_KEY": "sk-planted", "GROQ_API_BASE": URL}
    _, said = moa("ask", "Hello", **only)
    assert "preset `groq`: GROQ_API_KEY is set" in " ".join(said.split()), said
    _, said = moa("ask", "--estimate", "Hello", COHERE_API_KEY="x")
    assert "COHERE_API_KEY is set, but no preset uses it" in " ".join(said.split()), said


main(globals())
