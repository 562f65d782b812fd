"""Queries about what is known of nodes and models, and would be missed or has been told of."""

from collections.abc import Iterable, Sequence

from msgspec import Struct
from msgspec.structs import asdict
from sqlalchemy import Connection, Table, delete, insert, select

from cluster.ids import NodeId
from cluster.messages.alarms import FailedModel, Known, OnlineNode
from cluster.messages.webhooks import Event
from cluster.store import deliveries
from cluster.store.tables.alarms import FAILED_MODELS, ONLINE_NODES


def known_before(connection: Connection) -> Known:
    """All that was written down last."""
    nodes = connection.execute(select(ONLINE_NODES.c.id, ONLINE_NODES.c.since_ms, ONLINE_NODES.c.name))
    models = connection.execute(select(FAILED_MODELS.c.id, FAILED_MODELS.c.make))
    return Known(
        frozenset(OnlineNode(NodeId(row.id), row.since_ms, row.name) for row in nodes),
        frozenset(FailedModel(row.id, row.make) for row in models),
    )


def happened(connection: Connection, events: Sequence[Event], known: Known) -> None:
    """Writes down whom these events are to be told, and that this is known from then on."""
    deliveries.add(connection, events, {})
    before = known_before(connection)
    _change(connection, ONLINE_NODES, before.nodes - known.nodes, known.nodes - before.nodes)
    _change(connection, FAILED_MODELS, before.models - known.models, known.models - before.models)


def _change(
    connection: Connection,
    table: Table,
    gone: Iterable[OnlineNode | FailedModel],
    new: Iterable[OnlineNode | FailedModel],
) -> None:
    if ids := [each.id for each in gone]:
        connection.execute(delete(table).where(table.c.id.in_(ids)))
    if rows := [_row(each) for each in new]:
        connection.execute(insert(table), rows)


def _row(known: Struct) -> dict[str, object]:
    return asdict(known)
