// The official JavaScript SDK against /v1, unchanged. `node sdk.mjs SCENARIO MODEL` prints what it saw as JSON.

import OpenAI from "openai";

const client = new OpenAI({
  baseURL: `${process.env.INFERNET_URL}/v1`,
  apiKey: process.env.INFERNET_KEY,
  maxRetries: 0,
});
const [scenario, model] = process.argv.slice(2);
const messages = [{ role: "user", content: "What is the capital of France?" }];

const scenarios = {
  async completion() {
    const { data, response } = await client.chat.completions
      .create({ model, messages, max_tokens: 32 })
      .withResponse();
    return { job: response.headers.get("x-job-id"), ...data };
  },

  async stream() {
    const { data, response } = await client.chat.completions
      .create({ model, messages, max_tokens: 32, stream: true, stream_options: { include_usage: true } })
      .withResponse();
    const chunks = [];
    for await (const chunk of data) chunks.push(chunk);
    return { job: response.headers.get("x-job-id"), chunks };
  },

  async runner() {
    const stream = client.chat.completions.stream({ model, messages, max_tokens: 32 });
    let deltas = "";
    stream.on("content", (delta) => (deltas += delta));
    const answer = await stream.finalChatCompletion();
    return { deltas, content: answer.choices[0].message.content };
  },

  async abort() {
    const { data, response } = await client.chat.completions
      .create({ model, messages, max_tokens: 1500, stream: true })
      .withResponse();
    for await (const chunk of data) {
      if (chunk.choices[0]?.delta?.content) break; // leaving the loop aborts the request
    }
    return { job: response.headers.get("x-job-id") };
  },

  async models() {
    const ids = [];
    for await (const listed of client.models.list()) ids.push(listed.id);
    return { ids, one: (await client.models.retrieve(model)).id };
  },

  async errors() {
    const told = async (work) => {
      try {
        await work();
      } catch (error) {
        return { kind: error.constructor.name, status: error.status, code: error.code, param: error.param };
      }
      return null;
    };
    const create = (fields) => client.chat.completions.create({ model, messages, max_tokens: 32, ...fields });
    return {
      unknown: await told(() => create({ model: "unheard:of" })),
      bad: await told(() => create({ temperature: 3 })),
      stranger: await told(() => client.withOptions({ apiKey: "inft_unknown" }).models.list()),
    };
  },

  async failing() {
    let text = "";
    try {
      for await (const chunk of await client.chat.completions.create({ model, messages, max_tokens: 32, stream: true })) {
        text += chunk.choices[0]?.delta?.content ?? "";
      }
    } catch (error) {
      return { text, kind: error.constructor.name, code: error.code };
    }
    return { text };
  },
};

console.log(JSON.stringify(await scenarios[scenario]()));
