// Programs that are used as commands. Coding agents are asked one question, call their shell tool through the endpoint,
// and print the answer.
import assert from "node:assert";
import { main } from "./_run.mjs";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const BASE = process.env.BASE;
const bin = join(dirname(fileURLToPath(import.meta.url)), "node_modules", ".bin");
const home = mkdtempSync(join(tmpdir(), "moa-agent-"));
const work = join(home, "work");
mkdirSync(work);

function said(command, args, env) {
  const settings = { cwd: work, env: { PATH: process.env.PATH, HOME: home, ...env }, timeout: 120000, encoding: "utf8" };
  const done = spawnSync(join(bin, command), args, { ...settings, input: "" });
  const output = `${done.stdout}\n${done.stderr}`;
  console.log(output.slice(-4000));
  assert.equal(done.status, 0, output.slice(-2000));
  return output;
}

function run(command, args, env) {
  const output = said(command, args, env);
  assert.match(output, /tool-ran-42/);
  assert.match(output, /the whole answer/);
}

const modes = {
  codex() {
    const config = [
      'model = "codex"',
      'model_provider = "moa"',
      'approval_policy = "never"',
      'sandbox_mode = "danger-full-access"',
      "[model_providers.moa]",
      'name = "moa"',
      `base_url = "${BASE}/v1"`,
      'wire_api = "responses"',
    ];
    writeFileSync(join(home, "config.toml"), config.join("\n"));
    run("codex", ["exec", "--skip-git-repo-check", "Run the tool."], { CODEX_HOME: home });
  },
  claude() {
    const args = ["-p", "Run the tool.", "--model", "claude", "--allowedTools", "Bash"];
    run("claude", [...args, "--verbose", "--output-format", "stream-json"], {
      ANTHROPIC_BASE_URL: BASE,
      ANTHROPIC_API_KEY: "none",
      ANTHROPIC_SMALL_FAST_MODEL: "text",
      ANTHROPIC_DEFAULT_HAIKU_MODEL: "text",
      CLAUDE_CONFIG_DIR: home,
      CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
      DISABLE_TELEMETRY: "1",
      DISABLE_AUTOUPDATER: "1",
      IS_SANDBOX: "1",
    });
  },
  opencode() {
    const models = { opencode: { name: "moa", tool_call: true } };
    const options = { baseURL: `${BASE}/v1`, apiKey: "none" };
    const provider = { moa: { npm: "@ai-sdk/openai-compatible", name: "moa", options, models } };
    const config = { provider, permission: { bash: "allow" }, autoupdate: false, share: "disabled", small_model: "moa/opencode" };
    writeFileSync(join(work, "opencode.json"), JSON.stringify(config));
    run("opencode", ["run", "--model", "moa/opencode", "Run the tool."], {
      OPENCODE_DISABLE_AUTOUPDATE: "1",
      OPENCODE_DISABLE_MODELS_FETCH: "1",
      OPENCODE_DISABLE_LSP_DOWNLOAD: "1",
    });
  },
  qwen() {
    const args = ["--yolo", "--auth-type", "openai", "--output-format", "stream-json", "--model", "qwen"];
    run("qwen", [...args, "-p", "Run the tool."], { OPENAI_BASE_URL: `${BASE}/v1`, OPENAI_API_KEY: "none" });
  },
  continue_cli() {
    const model = { name: "moa", provider: "openai", model: "continue", apiBase: `${BASE}/v1`, apiKey: "none", roles: ["chat"] };
    const file = join(home, "config.yaml");
    writeFileSync(file, JSON.stringify({ name: "moa", version: "0.0.1", schema: "v1", models: [model] }));
    const output = said("cn", ["-p", "Run the tool.", "--config", file, "--auto"], { CONTINUE_TELEMETRY_ENABLED: "0" });
    assert.match(output, /the whole answer/);
  },
  promptfoo() {
    const config = { apiBaseUrl: `${BASE}/v1`, apiKey: "none" };
    const tests = [{ vars: { question: "What is it?" }, assert: [{ type: "equals", value: "the whole answer" }] }];
    const providers = [{ id: "openai:chat:text", config }];
    writeFileSync(join(work, "promptfooconfig.json"), JSON.stringify({ prompts: ["{{question}}"], providers, tests }));
    const results = join(work, "results.json");
    said("promptfoo", ["eval", "-c", "promptfooconfig.json", "--no-cache", "--no-write", "-o", results], {
      PROMPTFOO_DISABLE_TELEMETRY: "1",
      PROMPTFOO_DISABLE_UPDATE: "1",
      PROMPTFOO_DISABLE_REMOTE_GENERATION: "1",
      PROMPTFOO_CONFIG_DIR: home,
    });
    assert.deepEqual(JSON.parse(readFileSync(results)).results.stats.successes, 1);
  },
};

await main(modes);
