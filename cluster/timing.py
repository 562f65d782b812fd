"""How long the actors wait for each other: one value per interval, so that a test can have them all short."""

from msgspec import Struct


class Timing(Struct, frozen=True):
    """Every interval of the control plane, in seconds. The defaults are those of production."""

    # Scheduler
    tick_s: float = 0.5
    # An engine knows of an order this long after it was given, or the order is lost.
    order_s: float = 3.0
    # How long jobs wait for a model that fits on no machine, or for an engine that their node is not going to have.
    no_capacity_grace_s: float = 10.0
    # A node that has been silent for this long is offline.
    offline_after_s: float = 8.0
    # How long a new Scheduler waits for the engines that ran before it.
    settle_s: float = 10.0

    # Journal
    # How long an ended job's text is kept for readers.
    linger_s: float = 30.0
    # An ingress replica that has been silent for this long reads no more.
    reader_silence_s: float = 60.0
    # Engines keep the output of ended jobs a moment longer, so that many are told of in one call.
    settled_notice_s: float = 0.25
    # Pause before a failed read or write is tried again.
    repeat_s: float = 0.5

    # Node
    heartbeat_s: float = 1.0
    # A process that shares two cores with a model being loaded can be silent for long.
    hang_s: float = 60.0
    # How long an engine gets to stop by itself.
    engine_stop_s: float = 20.0

    # Supervisor
    look_s: float = 1.0

    # Ingress replica
    # How long a client waits for what takes no time when all is well; then it is told to come again.
    answer_s: float = 9.0
    # How long who watches the system waits for the control plane to answer.
    health_s: float = 3.0

    # Ledger
    # How often it is written when keys were last used.
    key_uses_s: float = 10.0
    # How long a call waits for the database before its caller is told that it is away.
    database_s: float = 8.0
    # How long a connection may stay without an answer before it is given up, and the call made again on a new one.
    database_silence_s: float = 5.5
    # How often that is looked at.
    database_look_s: float = 0.5
    # How long a failed write says that the next one fails too, and one that succeeded that the next one does.
    database_failed_s: float = 5.0
    database_sure_s: float = 2.0
    # How long a new Ledger waits for the one before it to let go of the database.
    ownership_wait_s: float = 5.0
    # How often a Ledger makes sure that the database is still its own.
    ownership_look_s: float = 5.0

    # Streams of an ingress replica
    reconnect_s: float = 0.2
    # How often a replica tells the Journal that it lives.
    alive_s: float = 10.0
    # How often the Journal is asked again for jobs of which nothing was heard.
    ask_again_s: float = 30.0
    # A stream that has nothing to tell sends a comment this often.
    silence_s: float = 5.0
