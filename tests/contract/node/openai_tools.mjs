// What the official JavaScript SDK makes of tools, forms of answers, choices and log probabilities.
// `node openai_tools.mjs SCENARIO MODEL` prints what it saw as JSON.

import OpenAI from "openai";
import { zodFunction, zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
import { answer, CAPITALS, country, QUESTION } from "./subject.mjs";

const client = new OpenAI({
  baseURL: `${process.env.INFERNET_URL}/v1`,
  apiKey: process.env.INFERNET_KEY,
  maxRetries: 0,
});
const [scenario, model] = process.argv.slice(2);
const asked = { model, messages: [{ role: "user", content: QUESTION }], temperature: 0 };
const tool = (parameters) =>
  zodFunction({
    name: "get_capital",
    description: "The capital of a country",
    parameters,
    function: ({ country }) => CAPITALS[country],
  });
const forced = {
  tools: [tool(z.object({ country }))],
  tool_choice: { type: "function", function: { name: "get_capital" } },
};

async function runTools(fields) {
  const runner = client.chat.completions.runTools({ ...asked, ...fields });
  const called = [];
  runner.on("functionToolCall", (call) => called.push(call));
  await runner.done();
  return { called, messages: runner.messages };
}

const scenarios = {
  async parse() {
    const parsed = await client.chat.completions.parse({ ...asked, response_format: zodResponseFormat(answer, "answer") });
    return parsed.choices[0].message;
  },

  async call() {
    const parsed = await client.chat.completions.parse({ ...asked, ...forced, tool_choice: "required" });
    return parsed.choices[0];
  },

  async stream() {
    const stream = client.chat.completions.stream({ ...asked, response_format: zodResponseFormat(answer, "answer") });
    let deltas = "";
    stream.on("content.delta", ({ delta }) => (deltas += delta));
    const message = await stream.finalMessage();
    return { deltas, ...message };
  },

  async stream_call() {
    const stream = client.chat.completions.stream({ ...asked, ...forced, tool_choice: "required" });
    let deltas = "";
    stream.on("tool_calls.function.arguments.delta", ({ arguments_delta }) => (deltas += arguments_delta));
    const { choices } = await stream.finalChatCompletion();
    return { deltas, ...choices[0] };
  },

  run_tools: () => runTools(forced),
  run_tools_streaming: () => runTools({ ...forced, stream: true }),
  loop: () => runTools({ tools: [tool(z.object({ country: z.string() }))] }),
  loop_streaming: () => runTools({ tools: [tool(z.object({ country: z.string() }))], stream: true }),

  async choices() {
    const several = { ...asked, temperature: 0.01, n: 3 };
    const whole = await client.chat.completions.create(several);
    const streamed = await client.chat.completions.stream(several).finalChatCompletion();
    return [whole, streamed].map(({ choices }) => choices.map(({ index, message }) => [index, message.content]));
  },

  async logprobs() {
    const told = { ...asked, logprobs: true, top_logprobs: 2 };
    const whole = await client.chat.completions.create(told);
    const streamed = await client.chat.completions.stream(told).finalChatCompletion();
    return [whole, streamed].map(({ choices }) => choices[0].logprobs.content);
  },

  async completion() {
    const prompt = `<|im_start|>user\n${QUESTION}<|im_end|>\n<|im_start|>assistant\n`;
    return client.completions.create({ model, prompt: [prompt, prompt], temperature: 0, max_tokens: 16 });
  },

  async embeddings() {
    const made = await client.embeddings.create({ model, input: ["ab", "cd ef"] });
    return { sizes: made.data.map(({ embedding }) => embedding.length), usage: made.usage };
  },
};

console.log(JSON.stringify(await scenarios[scenario]()));
