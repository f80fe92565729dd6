"""A LiteLLM proxy in front of the endpoint, asked over the three APIs."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import yaml
from _run import ANSWER, ASK, V1, main

KEY = f"sk-{os.urandom(16).hex()}"
"""The proxy starts with a key of its own only."""


class Proxy:
    def __enter__(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        names = {"text": "openai/text", "vllm": "hosted_vllm/text"}
        params = {"api_base": V1, "api_key": "none"}
        models = [{"model_name": k, "litellm_params": {"model": v, **params}} for k, v in names.items()]
        config = Path(tempfile.mkdtemp()) / "config.yaml"
        config.write_text(yaml.safe_dump({"model_list": models, "litellm_settings": {"num_retries": 0}}))
        command = [Path(sys.executable).with_name("litellm"), "--config", config, "--port", str(port)]
        self.log = (config.parent / "log").open("w")
        environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MASTER_KEY": KEY}
        self.process = subprocess.Popen(
            [*command, "--host", "127.0.0.1"], stdout=self.log, stderr=self.log, env=environment
        )
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{port}",
            timeout=60,
            headers={"x-api-key": KEY, "authorization": f"Bearer {KEY}"},
        )
        end = time.monotonic() + 100
        while time.monotonic() < end:
            assert self.process.poll() is None, Path(self.log.name).read_text()[-2000:]
            try:
                if self.client.get("/health/liveliness").status_code == 200:
                    return self.client
            except httpx.TransportError:
                time.sleep(0.5)
        raise TimeoutError("the proxy did not start")

    def __exit__(self, *exc):
        self.process.terminate()
        self.process.wait(20)


def _post(client, path, **body):
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text[:500]
    return answer.json()


def all_three():
    with Proxy() as client:
        chat = _post(client, "/v1/chat/completions", model="text", messages=ASK)
        assert chat["choices"][0]["message"]["content"] == ANSWER
        for model in ("text", "vllm"):
            answer = _post(client, "/v1/responses", model=model, input="What is it?")
            assert answer["output"][-1]["content"][0]["text"] == ANSWER
            said = _post(client, "/v1/messages", model=model, max_tokens=99, messages=ASK)
            assert said["content"][-1]["text"] == ANSWER


main(globals())
