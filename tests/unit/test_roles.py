from cluster.liveness.roles import Roles


def test_who_began_last_holds_a_role() -> None:
    roles = Roles()
    assert roles.hold("Journal", "first", begins=True)
    assert roles.hold("Journal", "first", begins=False)
    assert roles.hold("Journal", "second", begins=True)
    assert not roles.hold("Journal", "first", begins=False)
    assert roles.hold("Journal", "second", begins=False)
    assert roles.hold("Scheduler", "first", begins=False)


def test_nobody_begins_twice() -> None:
    roles = Roles()
    assert roles.hold("Journal", "first", begins=True)
    assert roles.hold("Journal", "first", begins=True)
    assert roles.hold("Journal", "second", begins=True)
    assert not roles.hold("Journal", "first", begins=True)  # its first call, made twice, of which one came late
    assert roles.hold("Journal", "second", begins=False)


def test_what_is_not_known_is_true() -> None:
    """Who keeps the roles has begun anew, and nobody else has since."""
    roles = Roles()
    assert roles.hold("Journal", "first", begins=False)
    assert roles.hold("Journal", "second", begins=False)
