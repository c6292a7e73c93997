// Prints docs/settings.md: `npm run settings`.
import { settingsTable } from "./config.js";

console.log(`# Settings of the server

Printed by \`npm run settings\` from \`server/config/settings.ts\`, as \`cortex-store --help\` is. A flag wins over its environment
variable; an unknown flag or a bad value is one sentence and exit code 2. In a clone: \`npm start -- --flag value\`, or \`npx cortex-store --flag value\` after
\`npm run build\`.

${settingsTable()}`);
