"""The systems under test as processes of their own, ended by the ids and marks they were started with."""

from tests.benchmarks.servers.base import Server, System
from tests.benchmarks.servers.infernet import UNLIMITED, Infernet
from tests.benchmarks.servers.litellm_proxy import LitellmProxy
from tests.benchmarks.servers.ray_serve_llm import RayServeLlm
from tests.benchmarks.servers.this_process import end_on_signals, raise_open_file_limit
from tests.benchmarks.servers.vllm_router import VllmRouter
from tests.benchmarks.servers.vllm_server import VllmServer

__all__ = [
    "UNLIMITED",
    "Infernet",
    "LitellmProxy",
    "RayServeLlm",
    "Server",
    "System",
    "VllmRouter",
    "VllmServer",
    "end_on_signals",
    "raise_open_file_limit",
]
