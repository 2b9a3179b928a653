"""Configuration files to a Fleet: all of it, or ConfigError with all that is wrong."""

import os
from collections.abc import Callable, Mapping, Sequence

import msgspec

from supervisor.spec import env_file, forms, unsupported
from supervisor.spec.bundle.config import BundleSource
from supervisor.spec.check_bridge import check_bridges
from supervisor.spec.check_network import check_published
from supervisor.spec.check_rootfs import check_uppers
from supervisor.spec.convert import NOT_YET, Converter, Values
from supervisor.spec.errors import ConfigError, Problem
from supervisor.spec.locate import Path
from supervisor.spec.merge import build, conflicts, merge, merge_tables
from supervisor.spec.model import Fleet, Supervisor, Worker
from supervisor.spec.names import UnknownName
from supervisor.spec.options import OptionSource
from supervisor.spec.origin import Origin
from supervisor.spec.paths import config_candidates
from supervisor.spec.relations import check_relations, with_joined
from supervisor.spec.report import Report
from supervisor.spec.seccomp import Profile
from supervisor.spec.seccomp_file import read_profile
from supervisor.spec.source import Source, read_source, read_text
from supervisor.spec.validate import check_worker

_TABLES = ("supervisor", "defaults", "worker")


def find_config(explicit: str | None, environ: Mapping[str, str], uid: int) -> str:
    """The path of the configuration: `explicit`, $NSVISOR_CONFIG, else the first that exists. ConfigError when none."""
    named = explicit or environ.get("NSVISOR_CONFIG")
    if named:
        return named
    candidates = config_candidates(environ, uid)
    for candidate in candidates:
        if os.path.lexists(candidate):
            return candidate
    places = ", ".join(candidates) or "nowhere: neither $XDG_CONFIG_HOME nor $HOME is set"
    message = f"cannot find a configuration; looked for {places}; name one by --config or $NSVISOR_CONFIG"
    raise ConfigError([Problem("nsvisor", None, "", message)])


def load_config(path: str, environ: Mapping[str, str] | None = None) -> Fleet:
    """Load a file and the `*.toml` of the folder beside it, `nsvisor.d` for `nsvisor.toml`, in the order of names."""
    return load(_files(path), environ)


def load_options(options: OptionSource, path: str | None, environ: Mapping[str, str]) -> Worker:
    """The worker that options describe; with a configuration's path, its worker of that name under these options.

    ConfigError; UnknownName.
    """
    report = Report()
    sources = [options] if path is None else _read(report, _files(path))
    workers = _Loader(report, sources, environ, options).fleet().workers
    if options.worker not in workers:
        raise UnknownName(options.worker, forms.nearest(options.worker, workers))
    return workers[options.worker]


def _files(path: str) -> list[str]:
    folder = os.path.splitext(path)[0] + ".d"
    try:
        found = sorted(name for name in os.listdir(folder) if name.endswith(".toml") and not name.startswith("."))
    except FileNotFoundError:
        found = []
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a path"
        raise ConfigError([Problem(folder, None, "", f"cannot read: {reason}")]) from None
    return [path, *(os.path.join(folder, name) for name in found)]


def load(paths: Sequence[str], environ: Mapping[str, str] | None = None) -> Fleet:
    """Load files as one configuration. Nothing may be set by two of them."""
    report = Report()
    return _Loader(report, _read(report, paths), os.environ if environ is None else environ).fleet()


def _read(report: Report, paths: Sequence[str]) -> list[Source]:
    sources = []
    for path in paths:
        report.read_file(path)
        try:
            sources.append(read_source(path))
        except ConfigError as error:
            report.extend(error.problems)
    return sources


def load_text(text: str, file: str = "<text>", environ: Mapping[str, str] | None = None) -> Fleet:
    """Load one text as if it stood in `file`, whose folder relative paths are relative to."""
    report = Report()
    report.read_file(file)
    return _Loader(report, [Source(text, file)], os.environ if environ is None else environ).fleet()


class _Loader:
    def __init__(
        self,
        report: Report,
        sources: Sequence[Source],
        environ: Mapping[str, str],
        options: OptionSource | None = None,
    ) -> None:
        """options: on top of what the worker of that name has; they may be the only source."""
        self._report = report
        self._sources = sources
        self._options = options
        self._environ = environ
        self._whole = not report  # every file could be read
        self._profiles: dict[str, Profile | None] = {}  # None: told already
        self._env_files: dict[str, dict[str, str] | str] = {}  # variables, or why there are none

    def fleet(self) -> Fleet:
        for source in self._sources:
            self._top(source)
        supervisor = self._shared("supervisor", Supervisor, "supervisor")
        defaults = self._shared("defaults", Worker, "worker")
        with_defaults = [source for source in self._sources if "defaults" in source.data]
        workers: dict[str, Worker] = {}
        origins: dict[str, Origin] = {}
        for name, source in self._owners().items():
            converter = Converter(self._report, source, self._environ)
            own = converter.table(Worker, source.data["worker"][name], ("worker", name), ("worker",))
            values, bundles = merge(defaults, own), []
            if values.get("rootfs", {}).get("kind") == "bundle" and "path" in values["rootfs"]:
                try:
                    bundles = [BundleSource(values["rootfs"]["path"], name)]
                except ConfigError as error:
                    if all(problem.message.startswith("cannot read") for problem in error.problems):
                        origin = Origin(self._report, source, name, with_defaults)
                        origin.add(("rootfs", "path"), f"config.json: {error.problems[0].message}")
                    else:
                        self._report.extend(error.problems)
                    self._whole = False
                    continue
                join = merge if source is not self._options else self._options.over
                values = self._with_bundle(defaults, bundles[0], own, name, join)
            origin = Origin(self._report, source, name, with_defaults, bundles)
            options = self._options
            if options is not None and options is not source and options.worker == name:
                converter = Converter(self._report, options, self._environ)
                said = converter.table(Worker, options.table, ("worker", name), ("worker",))
                values = options.over(values, said)
                origin = Origin(self._report, options, name, with_defaults, [source, *bundles])
            worker = self._worker(name, values, origin)
            check_worker(worker, origin)
            workers[name], origins[name] = worker, origin
        if self._whole:  # else what is named may stand in the file that could not be read
            check_relations(workers, origins)
            check_uppers(workers, origins)
            check_published(workers, origins)
            check_bridges(workers, origins)
        self._report.raise_if_any()
        return Fleet(
            supervisor=build(Supervisor, supervisor),
            workers={name: with_joined(worker) for name, worker in workers.items()},
            files=tuple(source.path for source in self._sources),
        )

    def _with_bundle(
        self,
        defaults: Values,
        bundle: BundleSource,
        own: Values,
        name: str,
        join: Callable[[Values, Values], Values],
    ) -> Values:
        """A worker's values between [defaults] and its own keys: what its config.json says, as if written there."""
        self._report.read_file(bundle.file)
        below, over = ({**values, "rootfs": dict(values.get("rootfs", {}))} for values in (defaults, own))
        for values in (below, over):
            for key in ("kind", "path"):  # they named the bundle, its root has its own
                values["rootfs"].pop(key, None)
        converter = Converter(self._report, bundle, self._environ)
        said = converter.table(Worker, bundle.data["worker"][name], ("worker", name), ("worker",))
        return join(merge(below, said), over)

    def _top(self, source: Source) -> None:
        for key, value in source.data.items():
            if unsupported.key((key,)):
                self._report.add(source, (key,), NOT_YET)
            elif key not in _TABLES:
                near = forms.nearest(key, _TABLES)
                allowed = "[supervisor], [defaults], [worker.NAME]"
                self._report.add(source, (key,), "unknown key", allowed=allowed, nearest=near)
            elif key == "worker" and not isinstance(value, dict):
                self._report.add(source, (key,), "wrong type", value=value, allowed="tables named [worker.NAME]")

    def _shared(self, table: str, struct: type[msgspec.Struct], known_as: str) -> Values:
        """A table that files may share; none may set what an earlier one sets."""
        values: Values = {}
        earlier: list[Source] = []
        for source in self._sources:
            raw = source.data.get(table)
            if raw is None:
                continue
            converter = Converter(self._report, source, self._environ)
            values = merge_tables(values, converter.table(struct, raw, (table,), (known_as,)))
            for other in earlier:
                for path in conflicts({table: other.data[table]}, {table: raw}):
                    self._report.add(source, path, f"set twice; first at {_place(other, path)}")
            earlier.append(source)
        return values

    def _owners(self) -> dict[str, Source]:
        """The file of each worker."""
        owners: dict[str, Source] = {}
        for source in self._sources:
            tables = source.data.get("worker")
            for name in tables if isinstance(tables, dict) else ():
                first = owners.setdefault(name, source)
                if first is not source:
                    path = ("worker", name)
                    self._report.add(source, path, f"defined twice; first at {_place(first, path)}")
        return owners

    def _worker(self, name: str, values: Values, origin: Origin) -> Worker:
        variables: dict[str, str] = {}
        if origin.ok("env_file"):
            for index, path in enumerate(values.get("env_file", ())):
                variables.update(self._variables(path, ("env_file", index), origin))
        env = {**variables, **values.get("env", {})}
        return build(Worker, {"command": (), **self._with_profile(values, origin), "name": name, "env": env})

    def _with_profile(self, values: Values, origin: Origin) -> Values:
        """The values, and what the file of security.seccomp says."""
        file = values.get("security", {}).get("seccomp", "default")
        if file in forms.SECCOMP_CHOICES or not origin.ok("security", "seccomp"):
            return values
        if file not in self._profiles:
            self._report.read_file(file)
            try:
                self._profiles[file] = read_profile(file)
            except ConfigError as error:
                self._profiles[file] = None
                if all(problem.message.startswith("cannot read") for problem in error.problems):
                    origin.add(("security", "seccomp"), error.problems[0].message)
                else:
                    self._report.extend(error.problems)
        return {**values, "security": {**values["security"], "seccomp_profile": self._profiles[file]}}

    def _variables(self, path: str, key: Path, origin: Origin) -> dict[str, str]:
        """What an environment file sets; each file is read once."""
        if path not in self._env_files:
            try:
                self._env_files[path] = env_file.parse(read_text(path))
            except ConfigError as error:
                self._env_files[path] = error.problems[0].message
            except env_file.EnvFileError as error:
                self._report.extend([Problem(path, error.line, "", str(error))])
                self._env_files[path] = {}
        read = self._env_files[path]
        if isinstance(read, dict):
            return read
        origin.add(key, read)
        return {}


def _place(source: Source, path: tuple[str, ...]) -> str:
    line = source.line(path)
    return source.file if line is None else f"{source.file}:{line}"
