// What the clients ask, and the tool and the form of answer that they offer.

import { z } from "zod";

export const QUESTION = "What is the capital of France?";
export const CAPITALS = { France: "Paris", Peru: "Lima" };

export const country = z.enum(["France", "Peru"]);
export const answer = z.object({ country, known: z.boolean() });
