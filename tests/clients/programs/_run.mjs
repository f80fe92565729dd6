// Run modes of a program: `node PROGRAM.mjs MODE...`. For each mode one line of JSON says whether it passed.
export async function main(modes) {
  for (const mode of process.argv.slice(2)) {
    const begun = Date.now();
    let output = "";
    try {
      await modes[mode]();
    } catch (error) {
      output = String(error?.stack ?? error);
    }
    console.log("\n" + JSON.stringify({ mode, passed: !output, seconds: (Date.now() - begun) / 1000, output }));
  }
  process.exit(0);
}
