// Loads the module that `cargo run` would build, and holds its bits to the host's: `node run.mjs MODULE`.
import { readFile } from "node:fs/promises";

const bytes = await readFile(process.argv[2]);
const { instance, module } = await WebAssembly.instantiate(bytes);
const imports = WebAssembly.Module.imports(module).length;
let compared = 0;
let wrong = imports;
for (let scenario = 0; instance.exports.bits(scenario, 0, 1) >= 0n; scenario += 1) {
    for (let word = 0; instance.exports.bits(scenario, word, 1) >= 0n; word += 1) {
        const [got, expected] = [0, 1].map((host) => instance.exports.bits(scenario, word, host));
        compared += 1;
        if (got !== expected) {
            wrong += 1;
            console.log(`scenario ${scenario}, word ${word}: ${got.toString(16)}, on the host ${expected.toString(16)}`);
        }
    }
}
console.log(`wasm32: ${bytes.length} bytes of module, ${imports} imports, ${compared} words compared, ${wrong} wrong`);
process.exit(wrong === 0 && compared === 22 ? 0 : 1);
