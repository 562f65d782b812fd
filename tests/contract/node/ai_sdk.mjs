// Vercel's AI SDK against /v1, unchanged. `node ai_sdk.mjs SCENARIO MODEL PROVIDER` prints what it saw as JSON.

import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, embedMany, generateObject, generateText, Output, stepCountIs, streamObject, streamText, tool } from "ai";
import { z } from "zod";
import { answer, CAPITALS, country, QUESTION } from "./subject.mjs";

const at = { baseURL: `${process.env.INFERNET_URL}/v1`, apiKey: process.env.INFERNET_KEY };
const [scenario, name, provider] = process.argv.slice(2);
const openai = createOpenAI(at);
const compatible = createOpenAICompatible({
  ...at,
  name: "infernet",
  includeUsage: true,
  supportsStructuredOutputs: true,
});
const model = provider === "openai" ? openai.chat(name) : compatible(name);
const asked = { model, prompt: QUESTION, temperature: 0, maxRetries: 0 };
const tools = (country) => ({
  get_capital: tool({
    description: "The capital of a country",
    inputSchema: z.object({ country }),
    execute: async ({ country }) => CAPITALS[country],
  }),
});
const forced = { tools: tools(country), toolChoice: "required" };

async function all(stream) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return parts;
}

async function told(result) {
  const { text, finishReason, usage, toolCalls, toolResults, steps } = result;
  return {
    text: await text,
    finish: await finishReason,
    usage: await usage,
    calls: await toolCalls,
    results: await toolResults,
    steps: (await steps).length,
  };
}

async function streamed(fields) {
  const stream = streamText({ ...asked, ...fields });
  const parts = await all(stream.fullStream);
  const deltas = parts.filter(({ type }) => type === "text-delta").map(({ text }) => text);
  const input = parts.filter(({ type }) => type === "tool-input-delta").map(({ delta }) => delta);
  return { deltas: deltas.join(""), input: input.join(""), ...(await told(stream)) };
}

const loop = { tools: tools(z.string()), stopWhen: stepCountIs(4) };

const scenarios = {
  text: async () => told(await generateText(asked)),
  text_stream: () => streamed({}),
  tools: async () => told(await generateText({ ...asked, ...forced })),
  tools_stream: () => streamed(forced),
  loop: async () => told(await generateText({ ...asked, ...loop })),
  loop_stream: () => streamed(loop),
  object: async () => (await generateObject({ ...asked, schema: answer })).object,
  output: async () => (await generateText({ ...asked, output: Output.object({ schema: answer }) })).output,

  async object_stream() {
    const stream = streamObject({ ...asked, schema: answer });
    return (await all(stream.partialObjectStream)).at(-1);
  },

  async refusal() {
    try {
      await generateText({ ...asked, temperature: 3 });
    } catch (error) {
      return { is_call: APICallError.isInstance(error), status: error.statusCode, message: error.message };
    }
    return null;
  },

  async completion() {
    const prompt = `<|im_start|>user\n${QUESTION}<|im_end|>\n<|im_start|>assistant\n`;
    const completer = provider === "openai" ? openai.completion(name) : compatible.completionModel(name);
    return told(await generateText({ model: completer, prompt, temperature: 0, maxOutputTokens: 16 }));
  },

  async embeddings() {
    const embedder = provider === "openai" ? openai.embedding(name) : compatible.embeddingModel(name);
    const made = await embedMany({ model: embedder, values: ["ab", "cd ef"] });
    return { sizes: made.embeddings.map((vector) => vector.length), usage: made.usage };
  },
};

console.log(JSON.stringify(await scenarios[scenario]()));
