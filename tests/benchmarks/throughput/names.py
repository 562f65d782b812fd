"""The systems that are compared."""

VLLM = "vllm"
INFERNET = "infernet"
INFERNET_CHAT = "infernet-chat"
RAY_SERVE_LLM = "ray-serve-llm"
RAY_SERVE_LLM_TUNED = "ray-serve-llm-tuned"
VLLM_ROUTER = "vllm-router"
LITELLM = "litellm"
INFERNET_UNCOUNTED = "infernet-uncounted"

ALL = (VLLM, INFERNET, INFERNET_CHAT, VLLM_ROUTER, RAY_SERVE_LLM_TUNED, RAY_SERVE_LLM, LITELLM)
KNOWN = (*ALL, INFERNET_UNCOUNTED)
"""With the one that is compared with this system alone: what counting costs."""

SLOW = (RAY_SERVE_LLM, LITELLM)
PEERS = (VLLM_ROUTER, RAY_SERVE_LLM_TUNED, RAY_SERVE_LLM, LITELLM)
"""Those that may not be there: the others are compared without them."""

TITLES = {
    VLLM: "vLLM's own OpenAI server",
    INFERNET: "Infernet, `/api/v1/jobs`",
    INFERNET_CHAT: "Infernet, `/v1/chat/completions`",
    VLLM_ROUTER: "vllm-router in front of vLLM's own server",
    RAY_SERVE_LLM_TUNED: "`ray.serve.llm`, tuned",
    RAY_SERVE_LLM: "`ray.serve.llm`, as it comes",
    LITELLM: "LiteLLM proxy in front of vLLM's own server",
    INFERNET_UNCOUNTED: "Infernet, `/api/v1/jobs`, engines with `disable_log_stats`",
}
