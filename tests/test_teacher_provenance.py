"""What made a file: the machine that figures come from."""

import json

from teacher.cores import usable_cores
from teacher.provenance import describe_machine


def test_the_machine_is_described() -> None:
    machine = describe_machine()
    assert machine["cpu"]
    assert machine["cores"] == usable_cores() >= 1
    assert machine["memory_bytes"] > 2**28
    assert json.loads(json.dumps(machine)) == machine
