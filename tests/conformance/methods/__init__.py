"""Every builder, by the room of its file: what the tests know of it."""

from tests.conformance.methods import allocated, blocks, experts, recurrent, towers

METHODS = {
    name: method
    for room in (allocated, blocks, experts, recurrent, towers)
    for name, method in room.METHODS.items()
}


def made_of(what):
    """Returns the settings of the builders whose `layers` hold something, by name."""
    found = {name: method for name, method in METHODS.items() if method.made_of == what}
    return {name: method.settings for name, method in sorted(found.items())}
