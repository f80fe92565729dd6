"""Programs that are used as commands."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml
from _run import ANSWER, V1, main

BIN = Path(sys.executable).parent


def _run(*command, folder=None, **environment):
    own = {**os.environ, **environment}
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=200, env=own, cwd=folder
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-2000:]
    return done.stdout


def _llm(*arguments):
    folder = Path(tempfile.mkdtemp())
    models = [
        {"model_id": f"moa-{name}", "model_name": name, "api_base": V1, "supports_schema": True}
        for name in ("text", "tools")
    ]
    (folder / "extra-openai-models.yaml").write_text(yaml.safe_dump(models))
    return _run(BIN / "llm", "prompt", *arguments, LLM_USER_PATH=str(folder), OPENAI_API_KEY="none")


def llm_chat():
    assert _llm("-m", "moa-text", "What is it?").strip() == ANSWER


def llm_schema():
    assert "name" in json.loads(_llm("-m", "moa-tools", "--no-stream", "--schema", "name str", "Which city?"))


def _lm_eval(kind, path, *more):
    folder = Path(tempfile.mkdtemp())
    (folder / "data.jsonl").write_text(json.dumps({"q": "What is it?", "a": ANSWER}) + "\n")
    task = {
        "task": "one",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(folder / "data.jsonl")}},
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_text": "{{q}}",
        "doc_to_target": "{{a}}",
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    }
    (folder / "one.yaml").write_text(yaml.safe_dump(task))
    arguments = f"model=text,base_url={V1}{path},num_concurrent=1,tokenizer_backend=None,tokenized_requests=False"
    said = _run(
        *(BIN / "lm_eval", "--model", kind, "--model_args", arguments, "--tasks", "one"),
        *("--include_path", folder, "--limit", "1", *more),
        OPENAI_API_KEY="none",
        HF_HUB_OFFLINE="1",
        HF_HOME=str(folder),
    )
    assert "exact_match" in said and "1" in said


def lm_eval_chat():
    _lm_eval("local-chat-completions", "/chat/completions", "--apply_chat_template")


def lm_eval_completions():
    _lm_eval("local-completions", "/completions")


def aider():
    # It writes its history into the work tree that it finds upward from its folder.
    folder = tempfile.mkdtemp()
    said = _run(
        *(BIN / "aider", "--model", "openai/text", "--openai-api-base", V1, "--openai-api-key", "none"),
        *("--message", "What is it?", "--chat-mode", "ask", "--no-git", "--yes-always", "--analytics-disable"),
        *(
            "--no-check-update",
            "--no-show-model-warnings",
            "--no-pretty",
            "--map-tokens",
            "0",
            "--no-show-release-notes",
        ),
        folder=folder,
        HOME=folder,
        LITELLM_LOCAL_MODEL_COST_MAP="True",
    )
    assert ANSWER in said


main(globals())
