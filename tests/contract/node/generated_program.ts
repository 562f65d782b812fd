// What a client's program says with the generated types, and nothing beside them: a field less would not compile.

import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

const QUESTION: components["schemas"]["DialogueMessage"] = { role: "user", content: "What is the capital of France?" };

export async function seen(url: string, key: string, model: string) {
  const client = createClient<paths>({ baseUrl: url, headers: { Authorization: `Bearer ${key}` } });
  const submitted = await client.POST("/api/v1/jobs", { body: { model, messages: [QUESTION], temperature: 0 } });
  if (submitted.data === undefined) throw new Error(submitted.error.error_message);
  const path = { job_id: submitted.data.id };
  const job = await client.GET("/api/v1/jobs/{job_id}", { params: { path, query: { wait: 60 } } });
  if (job.data?.status !== "completed") throw new Error(`not completed: ${job.error?.error_message}`);
  const stream = await client.GET("/api/v1/jobs/{job_id}/stream", { params: { path }, parseAs: "text" });
  const listed = await client.GET("/api/v1/jobs", { params: { query: { limit: 1, status: "completed" } } });
  const chat = await client.POST("/v1/chat/completions", {
    body: { model, messages: [QUESTION], temperature: 0, stream_options: null },
  });
  const completion = await client.POST("/v1/completions", { body: { model, prompt: "The capital of", max_tokens: 4 } });
  const tokens = await client.POST("/tokenize", { body: { model, prompt: "Paris" } });
  const models = await client.GET("/v1/models");
  const refused = await client.POST("/v1/chat/completions", { body: { model: "nobody", messages: [QUESTION] } });
  const unknown = await client.GET("/api/v1/jobs/{job_id}", { params: { path: { job_id: "job_0000000000000000" } } });
  return {
    native: job.data.result.content,
    tokens: job.data.result.usage.completion_tokens,
    stream: stream.data,
    listed: listed.data?.jobs.map((each) => each.status),
    chat: chat.data?.choices[0].message.content,
    finish: chat.data?.choices[0].finish_reason,
    completion: completion.data?.choices[0].text,
    counted: tokens.data?.count,
    models: models.data?.data.map((each) => each.id),
    refused: refused.error?.error.param,
    unknown: unknown.error?.error,
  };
}
