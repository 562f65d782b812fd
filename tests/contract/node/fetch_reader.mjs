// A reader as people write it in a browser: fetch, split at line ends, take the lines that start with "data: ".
// `node fetch_reader.mjs MODEL CONTENT MAX_TOKENS` prints what it saw as JSON.

const [model, content, maxTokens] = process.argv.slice(2);
const response = await fetch(`${process.env.INFERNET_URL}/api/v1/jobs`, {
  method: "POST",
  headers: { Authorization: `Bearer ${process.env.INFERNET_KEY}`, "Content-Type": "application/json" },
  body: JSON.stringify({ model, messages: [{ role: "user", content }], max_tokens: Number(maxTokens), stream: true }),
});

const decoder = new TextDecoder();
const seen = { status: response.status, job: response.headers.get("x-job-id"), text: "", done: 0, errors: [] };
let buffer = "";
for await (const chunk of response.body) {
  buffer += decoder.decode(chunk, { stream: true });
  const lines = buffer.split("\n");
  buffer = lines.pop();
  for (const line of lines) {
    if (!line.startsWith("data: ")) continue;
    const data = line.slice("data: ".length);
    if (data === "[DONE]") {
      seen.done += 1;
      continue;
    }
    const event = JSON.parse(data);
    if (event.error) seen.errors.push(event);
    else seen.text += event.text;
  }
}
console.log(JSON.stringify({ ...seen, rest: buffer }));
