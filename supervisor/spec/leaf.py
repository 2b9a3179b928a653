"""One value of a key: what its type allows, in words, and the value that a text stands for."""

import types
from collections.abc import Callable, Mapping
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from supervisor.spec import address_forms, forms, limit_forms, probe_forms
from supervisor.spec.show import show
from supervisor.spec.units import DURATION_FORM, SIZE_FORM, UnitError, format_duration, parse_duration, parse_size


class LeafError(ValueError):
    """Why a value cannot be used."""

    def __init__(self, message: str, allowed: str | None = None, nearest: str | None = None) -> None:
        super().__init__(message)
        self.allowed = allowed
        self.nearest = nearest


class Leaf(msgspec.Struct, frozen=True):
    """The type of a value that is neither table nor array."""

    annotation: Any
    allowed: str
    choices: tuple[str, ...]
    unit: str | None
    form: str | None
    whole: bool  # an int, not a float


_FORMS: Mapping[str, Callable[[Any], Any]] = {
    "signal": forms.signal_name,
    "exit": forms.exit_name,
    "capability": forms.capability_name,
    "seccomp": forms.seccomp_choice,
    "limit": limit_forms.count_limit,
    "size-limit": limit_forms.size_limit,
    "time-limit": limit_forms.time_limit,
    "microsecond-limit": limit_forms.microsecond_limit,
    "processors": limit_forms.cpu_list,
    "scheduling": limit_forms.scheduling,
    "io-priority": limit_forms.io_priority,
    "uts-name": forms.uts_name,
    "tcp-address": forms.tcp_address,
    "http-url": probe_forms.http_url,
    "pattern": probe_forms.pattern,
    "inner-path": forms.inner_path,
    "loopback-address": address_forms.loopback_address,
    "ip-address": address_forms.ip_address,
    "ip-interface": address_forms.ip_interface,
    "ip-network": address_forms.ip_network,
    "publish": address_forms.checked,
    "cpu-share": forms.cpus,
    "cpu-list": forms.cpu_list,
}
_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a string"}


@cache
def leaf_of(annotation: Any) -> Leaf:
    """What a type annotation of the model asks for."""
    types_, metas = _flatten(annotation)
    extra: dict[str, Any] = {}
    for meta in metas:
        extra.update(meta.extra_json_schema or {})
    choices = tuple(choice for part in types_ if get_origin(part) is Literal for choice in get_args(part))
    unit = extra.get("x-unit")
    return Leaf(
        annotation=annotation,
        allowed=_allowed(types_, metas, choices, unit),
        choices=choices,
        unit=unit,
        form=extra.get("x-form"),
        whole=int in types_,
    )


def convert_leaf(leaf: Leaf, value: Any) -> Any:
    """The value in its normal form. LeafError otherwise. Paths are left as they are written."""
    if isinstance(value, str) and "\0" in value:
        raise LeafError("a NUL byte")
    if leaf.unit is not None and not isinstance(value, bool) and value not in leaf.choices:
        value = _measure(leaf, value)
    try:
        converted = msgspec.convert(value, leaf.annotation)
    except msgspec.ValidationError as error:
        raise _explain(leaf, value, str(error)) from None
    normal = _FORMS.get(leaf.form or "")
    if normal is not None:
        try:
            return normal(converted)
        except forms.FormError as problem:
            raise LeafError(str(problem), problem.allowed or leaf.allowed, problem.nearest) from None
    return converted


def _measure(leaf: Leaf, value: Any) -> Any:
    """Seconds or bytes. A value that is no text or number is left to the type's own check."""
    if not isinstance(value, str | int | float):
        return value
    if isinstance(value, str) and forms.nearest(value, leaf.choices):
        return value
    try:
        if leaf.unit == "size":
            return parse_size(value) if isinstance(value, str) else value
        seconds = parse_duration(value)
    except UnitError as error:
        raise LeafError(str(error), leaf.allowed, error.nearest) from None
    except OverflowError:
        raise LeafError("out of range", leaf.allowed) from None
    if not leaf.whole:
        return seconds
    if not seconds.is_integer():
        raise LeafError("not a whole number of seconds", leaf.allowed)
    return int(seconds)


def _explain(leaf: Leaf, value: Any, error: str) -> LeafError:
    if isinstance(value, str) and value.lower() in {"true", "false"} and leaf.allowed.startswith(_WORDS[bool]):
        return LeafError("wrong type", leaf.allowed, value.lower())
    if ", got `" in error:
        nearest = f'"{show(value)}"' if leaf.annotation is str and isinstance(value, int | float) else None
        return LeafError("wrong type", leaf.allowed, nearest)
    if isinstance(value, str):
        return LeafError("not allowed", leaf.allowed, forms.quoted(forms.nearest(value, leaf.choices)))
    return LeafError("out of range", leaf.allowed)


def _flatten(annotation: Any) -> tuple[list[Any], list[msgspec.Meta]]:
    """The members of a union, without None, and all that is noted on them."""
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *notes = get_args(annotation)
        types_, metas = _flatten(inner)
        return types_, [*metas, *(note for note in notes if isinstance(note, msgspec.Meta))]
    if origin in {Union, types.UnionType}:
        types_, metas = [], []
        for member in get_args(annotation):
            more_types, more_metas = _flatten(member)
            types_ += [kind for kind in more_types if kind is not types.NoneType]
            metas += more_metas
        return types_, metas
    return [annotation], []


def _allowed(types_: list[Any], metas: list[msgspec.Meta], choices: tuple[str, ...], unit: str | None) -> str:
    described = next((meta.description for meta in metas if meta.description), None)
    if described is not None:
        return described
    if unit is not None:
        words = [DURATION_FORM if unit == "duration" else SIZE_FORM]
    else:
        words = [_WORDS[kind] for kind in types_ if kind in _WORDS]
    if not words:
        return ", ".join(f'"{choice}"' for choice in choices)
    words[-1] += _bounds(metas, unit)
    return " or ".join([*words, *(f'"{choice}"' for choice in choices)])


def _bounds(metas: list[msgspec.Meta], unit: str | None) -> str:
    low = next((meta.ge for meta in metas if meta.ge is not None), None)
    above = next((meta.gt for meta in metas if meta.gt is not None), None)
    high = next((meta.le for meta in metas if meta.le is not None), None)

    def word(number: float) -> str:
        return f'"{format_duration(number)}"' if unit == "duration" and number else f"{number}"

    if unit is not None:  # the upper bounds of units only keep sums finite
        if above is not None:
            return f", more than {word(above)}"
        return f", at least {word(low)}" if low is not None and low > 0 else ""
    if low is not None and high is not None and high < 2**63 - 1:
        return f" from {word(low)} to {word(high)}"
    return f" of at least {word(low)}" if low is not None else ""
