"""The verbs. Imports nothing: completion looks here at each press of a key."""

ONE, MANY = 1, -1


class Verb:
    """A verb and where its command is: attribute `command` of the module."""

    def __init__(self, summary: str, module: str | None = None, *, names: int = 0) -> None:
        """module: None for supervisor.cli.NAME. names: how many of workers and instances it takes, and first."""
        self.summary = summary
        self.module = module
        self.names = names


VERBS = {
    "daemon": Verb("Run the supervisor in the foreground"),
    "run": Verb("Run one command in a sandbox, without a daemon"),
    "exec": Verb("Run one command in the sandbox of a running worker", names=ONE),
    "start": Verb("Start workers", names=MANY),
    "stop": Verb("Stop workers, until they are started by hand", names=MANY),
    "restart": Verb("Stop workers and start them again", names=MANY),
    "kill": Verb("Send a signal to workers", names=MANY),
    "pause": Verb("Freeze all processes of workers", names=MANY),
    "unpause": Verb("Let paused workers go on", names=MANY),
    "ps": Verb("List the instances", names=MANY),
    "logs": Verb("Show what workers print", names=MANY),
    "events": Verb("Show what happens, as it happens", names=MANY),
    "inspect": Verb("Print all that is known of an instance as JSON", names=MANY),
    "explain": Verb("Say why an instance is running or not, with its last launch phase by phase", names=ONE),
    "plan": Verb("Show the phases that would build a sandbox", names=ONE),
    "stats": Verb("Show CPU and memory use", names=MANY),
    "wait": Verb("Wait until workers are ready, stopped or have exited", names=MANY),
    "check": Verb("Check the configuration and change nothing"),
    "doctor": Verb("Check what this host offers and say what to fix"),
    "reload": Verb("Read the configuration again and apply what changed"),
    "reexec": Verb("Let the daemon become the program that is installed now; workers go on"),
    "shutdown": Verb("Stop all workers and the daemon"),
    "install-unit": Verb("Write the systemd user unit", "supervisor.cli.install_unit"),
    "completion": Verb("Print the completion script for a shell"),
}
