from supervisor.spec.instances import for_instance
from supervisor.spec.model import Worker


def test_index_is_replaced_in_command_and_environment() -> None:
    worker = Worker(
        name="web", command=("serve", "--port=80{index}"), env={"N": "{index}-{index}", "{index}": "{other}"}
    )
    one = for_instance(worker, 1)
    assert one.command == ("serve", "--port=801")
    assert one.env == {"N": "1-1", "{index}": "{other}"}
    assert worker.command == ("serve", "--port=80{index}")


def test_nothing_to_replace_is_no_copy() -> None:
    worker = Worker(name="web", command=("serve",))
    assert for_instance(worker, 3) is worker
