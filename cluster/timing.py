"""How long the actors wait for each other: one value per interval, so that a test can have them all short."""

from msgspec import Struct


class Timing(Struct, frozen=True):
    """Every interval of the control plane, in seconds. The defaults are those of production."""

    # How often the Scheduler and the Journal make sure that no other has begun in their place.
    hold_s: float = 1.0

    # Scheduler
    tick_s: float = 0.5
    # A tick that comes so much later says that the Scheduler stood still, and that silence of others means nothing.
    late_s: float = 2.0
    # An engine knows of an order this long after it was given, or the order is lost.
    order_s: float = 3.0
    # How long jobs wait for a model that fits on no machine, or for an engine that their node is not going to have.
    no_capacity_grace_s: float = 10.0
    # A model has fewer replicas only where fewer would have been enough all through this time.
    scaling_window_s: float = 60.0
    # An engine that became ready stays for this long, before another model may have its place.
    seat_s: float = 60.0
    # How often the cluster is asked for its machines and seats.
    survey_s: float = 1.0
    # A place that should be free, and has not been given for this long, is held by somebody else.
    room_s: float = 60.0
    # A machine that has left the cluster is told of for this long.
    left_s: float = 600.0
    # A node that has been silent for this long is offline. Streams from a machine whose link is lost are silent for so
    # long, and until their jobs have gone on elsewhere: 8 s in all.
    offline_after_s: float = 7.0
    # How long a new Scheduler waits for the engines that ran before it.
    settle_s: float = 10.0
    # An engine that does not answer an order for this long cannot be reached.
    delivery_s: float = 10.0
    # How long an engine gets to answer whether it can be reached again, and how long until its jobs go on elsewhere.
    ask_s: float = 2.0
    unreached_s: float = 4.0
    # How often the jobs held are compared with those that the Ledger has, and how old one is that nobody may miss yet.
    compare_s: float = 30.0
    stray_s: float = 10.0

    # How long it may take to find out what a model takes of GPUs' memory.
    measure_s: float = 10.0

    # How long who adds an adapter waits for what the engines make of it.
    adapt_s: float = 5.0

    # Journal
    # How long an ended job's text is kept for readers.
    linger_s: float = 30.0
    # An ingress replica that has been silent for this long reads no more.
    reader_silence_s: float = 60.0
    # How often the readers that have fallen silent are looked for.
    prune_readers_s: float = 10.0
    # How long a new Journal waits for the engines that ran before it, before it ends or moves what it does not know.
    hear_engines_s: float = 8.0
    # How long a new Journal waits to be told which jobs are open, before it reads its engines.
    learn_s: float = 2.0
    # How often jobs that engines have told of are compared with those that are open.
    audit_s: float = 30.0
    # How often an engine is told how much of its stream has come, until it knows.
    acknowledge_s: float = 1.0
    # Engines keep the output of ended jobs a moment longer, so that many are told of in one call.
    settled_notice_s: float = 0.25
    # Pause before a failed read or write is tried again.
    repeat_s: float = 0.5

    # Node
    heartbeat_s: float = 1.0
    # A process that shares two cores with a model being loaded can be silent for long.
    hang_s: float = 60.0
    # An engine that has something to generate makes a step in this time, but for what its prompts take.
    stall_s: float = 5.0
    # How often the node looks for engines that run here and are not known, and how long one of them gets to answer.
    reconcile_s: float = 10.0
    introduction_s: float = 5.0
    # How long an engine gets to stop by itself.
    engine_stop_s: float = 20.0

    # Supervisor
    look_s: float = 1.0
    # How often each core actor is asked for a sign of life.
    pulse_s: float = 1.0
    # One that has been silent for this long is looked at: its process may hang.
    silent_s: float = 1.5
    # A process that was stopped, or one that did nothing though nothing kept it from it, for this long is killed.
    stopped_s: float = 2.0
    stuck_s: float = 4.0

    # Courier
    # How long it waits for something to deliver while nothing is under way, and how often it looks while something is.
    courier_wait_s: float = 1.0
    courier_look_s: float = 0.05

    # Ingress replica
    # How long a client waits for what takes no time when all is well; then it is told to come again.
    answer_s: float = 9.0
    # How long who watches the system waits for the control plane to answer.
    health_s: float = 2.0

    # A revoked key must be refused within 5 s on every replica: this long it is remembered who holds a key.
    key_remembered_s: float = 4.0
    # A key that is used after this is asked for again meanwhile, so that busy keys never wait for it.
    key_renewed_s: float = 2.0

    # How often the adapters are asked for that admins have added.
    learn_models_s: float = 2.0

    # Everybody who counts
    # How often what was counted is handed in, and how long one counts who has told nothing more of what is so now.
    hand_in_s: float = 5.0
    gauges_s: float = 20.0

    # RateLimiter
    # How long a read waits until it is durable that it was counted.
    reads_wait_s: float = 0.5

    # Ledger
    # How long the database is waited for to say who holds a key, where this is known from before.
    known_keys_s: float = 1.0
    # How often it is written when keys were last used.
    key_uses_s: float = 10.0
    # How often media that no job needs are removed.
    prune_media_s: float = 60.0
    # How often jobs that ended too long ago are removed, how long each turn takes the database, and the pause after it.
    prune_jobs_s: float = 60.0
    prune_turn_s: float = 0.01
    prune_pause_s: float = 0.05
    # How often what was measured of minutes long ago is removed.
    prune_minutes_s: float = 3600.0
    # How often deliveries of webhooks that ended long ago are removed.
    prune_deliveries_s: float = 60.0
    # How long a call waits for the database before its caller is told that it is away.
    database_s: float = 8.0
    # How long a connection may stay without an answer before it is given up, and the call made again on a new one.
    database_silence_s: float = 5.5
    # How often that is looked at.
    database_look_s: float = 0.5
    # How long a failed write says that the next one fails too, and one that succeeded that the next one does.
    database_failed_s: float = 5.0
    database_sure_s: float = 0.5
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
