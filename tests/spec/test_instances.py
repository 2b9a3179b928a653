from supervisor.spec.instances import for_instance
from supervisor.spec.model import Mount, Network, Rootfs, Secret, Worker


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


def test_index_is_replaced_where_each_instance_writes() -> None:
    rootfs = Rootfs("overlay", lower=("/{index}",), upper="/up-{index}", work="/work-{index}")
    mounts = (Mount("overlay", "/x", lower=("/l",), upper="/m-{index}"), Mount("bind", "/{index}", "/y"))
    one = for_instance(Worker(name="web", command=("serve",), rootfs=rootfs, mounts=mounts), 2)
    assert one.rootfs == Rootfs("overlay", lower=("/{index}",), upper="/up-2", work="/work-2")
    assert one.mounts == (Mount("overlay", "/x", lower=("/l",), upper="/m-2"), mounts[1])


def test_index_is_replaced_in_what_each_has_of_the_host() -> None:
    worker = Worker(
        name="web",
        command=("serve",),
        mounts=(Mount("bind", "/data", "/srv/data-{index}"),),
        secrets=(Secret("key", source="/keys/{index}"), Secret("token", env="TOKEN")),
        network=Network("pasta", publish=("808{index}:80", "9090")),
    )
    one = for_instance(worker, 2)
    assert one.mounts == (Mount("bind", "/data", "/srv/data-2"),)
    assert one.secrets == (Secret("key", source="/keys/2"), worker.secrets[1])
    assert one.network == Network("pasta", publish=("8082:80", "9090"))
