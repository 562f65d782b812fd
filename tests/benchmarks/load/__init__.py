"""Streaming clients, in a process of their own.

While they run, what they receive is only noted with its time of arrival; it is parsed afterwards, so that the clients
take as little of the machine as can be, and the same for every API.
"""

from tests.benchmarks.load.answers import Answer, RequestFailed
from tests.benchmarks.load.loops import ClosedLoop, Loop, OpenLoop
from tests.benchmarks.load.process import Groups, Window, run

__all__ = ["Answer", "ClosedLoop", "Groups", "Loop", "OpenLoop", "RequestFailed", "Window", "run"]
