"""How a dialogue becomes a prompt, and what is told of that."""

from tests.differential.case import ABSENT, PLAIN, QUESTION, Topic

topic = Topic("templates")

BEGUN = [*QUESTION, {"role": "assistant", "content": "The capital of"}]

topic.chat("chat_template_kwargs of nothing", chat_template_kwargs={})
topic.chat("chat_template_kwargs that the template has not", chat_template_kwargs={"mood": "good"})
topic.chat("add_generation_prompt false", add_generation_prompt=False)
topic.chat("add_generation_prompt true", add_generation_prompt=True)
topic.chat("add_generation_prompt false, the assistant last", messages=BEGUN, add_generation_prompt=False)
topic.chat("continue_final_message", messages=BEGUN, continue_final_message=True, add_generation_prompt=False)
topic.chat("continue_final_message of a user", continue_final_message=True, add_generation_prompt=False)
topic.chat("continue_final_message and a generation prompt", messages=BEGUN, continue_final_message=True)
topic.chat(
    "continue_final_message and a generation prompt, both said",
    messages=BEGUN,
    continue_final_message=True,
    add_generation_prompt=True,
)
topic.chat("echo", echo=True)
topic.chat("echo of an assistant", messages=BEGUN, echo=True)
topic.chat("echo of what goes on", messages=BEGUN, echo=True, continue_final_message=True, add_generation_prompt=False)
topic.chat(
    "echo of parts",
    echo=True,
    add_generation_prompt=False,
    messages=[{"role": "user", "content": [{"type": "text", "text": "The capital of"}]}],
)
topic.chat("echo with logprobs", echo=True, logprobs=True, top_logprobs=1, max_tokens=2, modes=PLAIN)
topic.chat("add_special_tokens", add_special_tokens=True)
topic.chat("return_token_ids", return_token_ids=True)
topic.chat("return_token_ids of one token", return_token_ids=True, max_tokens=1)
topic.chat("return_token_ids with a stop string", return_token_ids=True, stop=" of")
topic.chat("return_token_ids with ignore_eos", return_token_ids=True, ignore_eos=True)
topic.chat("return_prompt_text", return_prompt_text=True)
topic.chat(
    "return_prompt_text of parts",
    return_prompt_text=True,
    messages=[{"role": "user", "content": [{"type": "text", "text": "Hi!"}, {"type": "text", "text": "Ho!"}]}],
)
topic.chat("return_prompt_text and return_token_ids", return_prompt_text=True, return_token_ids=True)
topic.chat("return_token_offsets", return_token_offsets=True)
topic.chat("a template of the request's own", chat_template="{{ messages[0]['content'] }}")
topic.chat("a template that is wrong", chat_template="{% for %}")
topic.chat("no generation prompt, nothing to say", add_generation_prompt=False, max_tokens=ABSENT, stop="<")
