// Send messages in a loop with nodemailer, and print one line of JSON.
// What to do comes as JSON on standard input.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const work = JSON.parse(readFileSync(0, "utf8"));
const require = createRequire(work.node_modules + "/");
const nodemailer = require("nodemailer");
// Until the code is compiled, it would be the compiler that is measured.
const WARM_UP = 1000;

const transport = nodemailer.createTransport({
  host: work.host,
  port: work.port,
  ignoreTLS: true,
  pool: true,
  maxConnections: work.connections,
  maxMessages: Infinity,
});

async function send(n) {
  await transport.sendMail({
    envelope: { from: "alice@sender.example", to: [`user${n}@recipient.example`] },
    raw: work.message,
  });
}

for (let n = 0; n < WARM_UP; n++) await send(n);
const cpu = process.cpuUsage();
const start = performance.now();
let count = 0;
if (work.messages) {
  // The pool shares them among its connections.
  await Promise.all(Array.from({ length: work.messages }, (_, n) => send(n)));
  count = work.messages;
} else {
  while (performance.now() - start < work.seconds * 1000) await send(count++);
}
const used = process.cpuUsage(cpu);
const wall = (performance.now() - start) * 1000;
console.log(
  JSON.stringify({
    cpu: (used.user + used.system) / count,
    wall: wall / count,
    units: count,
    sent: count + WARM_UP,
  }),
);
transport.close();
