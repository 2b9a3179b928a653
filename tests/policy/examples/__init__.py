"""Examples: what happens to this status at this event. Written by hand, one at least for every rule of the table."""

from tests.policy.examples.down import parked, pending
from tests.policy.examples.leaving import exits, leaving
from tests.policy.examples.live import creating, up
from tests.policy.examples.refused import illegal

EXAMPLES = [*parked(), *pending(), *creating(), *up(), *leaving(), *exits(), *illegal()]
