// node dist/src/quickstart.js CONTROL_ADDRESS DATA_ADDRESS TASK
import { Client, drawLine } from "./index.js";

const [controlAddress = "", dataAddress = "", task = "{}"] = process.argv.slice(2);
const client = new Client({ controlAddress, dataAddress });
try {
  await client.ping(30); // The reply is held until the server is ready, up to 30 s.
  const execution = await client.submit(JSON.parse(task));
  for await (const event of execution.events()) console.log(drawLine(event, 80));
  console.log(await execution.result());
} finally {
  await client.close();
}
