// ./scripts/soak: the soak for as long as one likes.
import { Soak } from "./soak.mjs";

const minutes = Number(process.argv[2] ?? 30);
const seed = Number(process.env.NOSTRIL_SEED ?? Math.floor(Math.random() * 2 ** 31));
const soak = new Soak({ seed, say: (text) => console.error(text) });
console.error(`${minutes} minutes, NOSTRIL_SEED=${seed}`);
let status = 0;
try {
  await soak.run({ ms: minutes * 60_000 });
  console.log(JSON.stringify({ seconds: Math.round(soak.seconds), faults: soak.faults, ...soak.counts, map_bytes: soak.map }, null, 2));
} catch (error) {
  soak.relay.show_logs();
  console.error(error);
  status = 1;
} finally {
  await soak.stop();
}
process.exit(status);
