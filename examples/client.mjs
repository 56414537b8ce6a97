// Submits a plan to a service, answers its question, and follows it to its end.
//
//     PLANFOLD_URL=http://127.0.0.1:7433 PLANFOLD_TOKEN=pft_... node client.mjs
//
// It needs Node 18 or newer, and no package. A page of the same origin uses the cookie of a session
// and `EventSource` instead; see docs/howto/http-api.md.

import { randomUUID } from "node:crypto";

const { PLANFOLD_URL: url, PLANFOLD_TOKEN: token } = process.env;
const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };

class Problem extends Error {}

async function request(method, path, body, key) {
  const keyed = key ? { ...headers, "Idempotency-Key": key } : headers;
  for (const pause of [100, 400, 1600, null]) {
    try {
      const answer = await fetch(url + path, { method, headers: keyed, body: body && JSON.stringify(body) });
      if (answer.ok) return await answer.json();
      const problem = await answer.json();
      // 429 and 503 pass. With its key a write is carried out once, however often it is sent.
      if (pause === null || ![429, 503].includes(answer.status)) throw new Problem(problem.detail);
    } catch (fault) {
      if (fault instanceof Problem || pause === null) throw fault;
    }
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

// Each event once and in order, also over cut connections; it ends when the plan has ended.
async function* events(plan) {
  let last = "0";
  for (;;) {
    try {
      const answer = await fetch(`${url}/v1/plans/${plan}/events`, { headers: { ...headers, "Last-Event-ID": last } });
      if (answer.status === 204) return;
      if ([429, 503].includes(answer.status)) throw new Error("try again");
      if (!answer.ok) throw new Problem((await answer.json()).detail);
      let rest = "";
      for await (const part of answer.body.pipeThrough(new TextDecoderStream())) {
        const frames = (rest + part).split("\n\n");
        rest = frames.pop();
        for (const frame of frames) {
          const [id, data] = ["id: ", "data: "].map((name) => frame.split("\n").find((line) => line.startsWith(name)));
          if (data === undefined) continue; // a heartbeat
          last = id.slice("id: ".length);
          yield JSON.parse(data.slice("data: ".length));
        }
      }
    } catch (fault) {
      if (fault instanceof Problem) throw fault;
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

const draft = {
  title: "From JavaScript",
  tasks: [
    { label: "colour", description: "Which colour?", choices: ["red", "blue"] },
    { description: "Paint", tool: "shell", effect: "safe", arguments: { argv: ["echo", "$colour"] } },
  ],
};
const { plan_id: plan } = await request("POST", "/v1/plans", { draft, approve: true }, randomUUID());
for await (const event of events(plan)) {
  if (event.event_type === "ClarificationRequested") {
    await request("POST", `/v1/plans/${plan}/answer`, { task: "colour", answer: "blue" }, randomUUID());
  }
}
const { status, tasks } = await request("GET", `/v1/plans/${plan}`);
console.log(status, tasks[1].result.stdout);
