"""The models that are served."""

from tests.differential.case import Topic

topic = Topic("models")

topic.get("list", "/v1/models")
topic.get("one that is not there", "/v1/models/elephant")
topic.get("health", "/health")
topic.get("ping", "/ping")
topic.get("version", "/version")
topic.get("a path that is not there", "/v1/elephants")
topic.get("a method that is not there", "/v1/chat/completions")
