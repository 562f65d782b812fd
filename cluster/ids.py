"""Identifiers: a kind, an underscore and lowercase hex, random unless said otherwise."""

import hashlib
import secrets
from typing import NewType

JobId = NewType("JobId", str)
NodeId = NewType("NodeId", str)
EngineId = NewType("EngineId", str)
AccountId = NewType("AccountId", str)
KeyId = NewType("KeyId", str)
WebhookId = NewType("WebhookId", str)
DeliveryId = NewType("DeliveryId", str)

_HEX_DIGITS = 20
_NODE_HEX_DIGITS = 16


def new_job_id() -> JobId:
    return JobId(f"job_{_random_hex()}")


def new_account_id() -> AccountId:
    return AccountId(f"acct_{_random_hex()}")


def new_key_id() -> KeyId:
    return KeyId(f"key_{_random_hex()}")


def new_webhook_id() -> WebhookId:
    return WebhookId(f"hook_{_random_hex()}")


def new_event_key() -> str:
    """Names one event that nothing else names."""
    return f"event_{_random_hex()}"


def delivery_id(event_key: str, webhook_id: WebhookId) -> DeliveryId:
    """The id of this event's delivery to this endpoint: always the same, so that it is made once."""
    told = hashlib.sha256(f"{event_key} {webhook_id}".encode()).hexdigest()
    return DeliveryId(f"msg_{told[:_HEX_DIGITS]}")


def new_reader_id() -> str:
    """Names one stream of frames."""
    return f"reader_{_random_hex()}"


def new_holder_id() -> str:
    """Names one process that is, or was, one of the core actors."""
    return f"holder_{_random_hex()}"


def node_id(ray_node_id: str) -> NodeId:
    """The node's id, derived from Ray's, so that it is stable for the machine's life in the cluster."""
    return NodeId(f"node_{ray_node_id[-_NODE_HEX_DIGITS:]}")


def _random_hex() -> str:
    return secrets.token_hex(_HEX_DIGITS // 2)
