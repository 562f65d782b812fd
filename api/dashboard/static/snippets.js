// A job's request as programs that anybody can run: for curl, for OpenAI's package, and for Python alone.

const OF_OPENAI = new Set([
  "model", "messages", "max_tokens", "temperature", "top_p", "stop", "seed", "presence_penalty", "frequency_penalty",
  "tools", "tool_choice", "response_format", "reasoning_effort",
]);

export const languages = { curl, openai, python };

function curl(body, origin) {
  // Between quoted words a here-document is taken as it stands; no line of this JSON is the word alone.
  return `curl -N ${origin}/api/v1/jobs \\
  -H "Authorization: Bearer $INFERNET_KEY" -H "Content-Type: application/json" \\
  --data-binary @- <<'END'
${JSON.stringify({ ...body, stream: true }, null, 2)}
END
`;
}

function openai(body, origin) {
  const own = Object.entries(body).filter(([name]) => OF_OPENAI.has(name));
  const others = Object.fromEntries(Object.entries(body).filter(([name]) => !OF_OPENAI.has(name)));
  if (Object.keys(others).length) own.push(["extra_body", others]);
  const given = own.map(([name, value]) => `    ${name}=${literal(value, 4)},\n`).join("");
  return `import os
from openai import OpenAI

client = OpenAI(base_url="${origin}/v1", api_key=os.environ["INFERNET_KEY"])
stream = client.chat.completions.create(
${given}    stream=True,
)
for chunk in stream:
    for choice in chunk.choices:
        print(choice.delta.content or "", end="", flush=True)
        for call in choice.delta.tool_calls or []:
            print(call.function.name or "", call.function.arguments or "", end="", flush=True)
`;
}

function python(body, origin) {
  return `import json
import os
from urllib.request import Request, urlopen

body = ${literal({ ...body, stream: true }, 0)}
headers = {"Authorization": f"Bearer {os.environ['INFERNET_KEY']}", "Content-Type": "application/json"}
with urlopen(Request("${origin}/api/v1/jobs", json.dumps(body).encode(), headers)) as events:
    for line in events:
        data = line.decode().removeprefix("data: ").strip()
        if data.startswith("{"):
            print(json.loads(data).get("text", ""), end="", flush=True)
`;
}

// JSON's values as Python writes them. Texts are written alike in both.
function literal(value, indent) {
  const deeper = indent + 4;
  const lines = (open, members, close) => {
    if (!members.length) return open + close;
    return `${open}\n${members.map((each) => `${" ".repeat(deeper)}${each},\n`).join("")}${" ".repeat(indent)}${close}`;
  };
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (Array.isArray(value)) return lines("[", value.map((each) => literal(each, deeper)), "]");
  if (typeof value !== "object") return JSON.stringify(value);
  const members = Object.entries(value);
  return lines("{", members.map(([name, each]) => `${JSON.stringify(name)}: ${literal(each, deeper)}`), "}");
}
