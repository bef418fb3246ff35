"""A command line becomes a list of experiments. The only room that knows hydra.

hydra is used as a library: its override grammar, its groups, its typed merge and its product of swept values.
"""

import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, field, fields, make_dataclass
from functools import cache
from itertools import product
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

import tasks
from harness.groups import CONF, choices
from harness.nearest import Refusal, refusing, unknown
from harness.scratchpad import Scratchpad
from harness.sections import LAUNCHERS, Evaluate, Local, Model, Slurm, Train
from harness.settings import HYBRID, Choice, Experiment

# The types of the config. The settings of an attention or a position have the types of the values in its yaml; those of
# a task and of a launcher the types of its dataclass.
GROUPS = {"task": None, "attention": None, "scratchpad": Scratchpad, "position": None, "launcher": None}
SECTIONS = {"model": Model, "train": Train, "evaluate": Evaluate}
PLAIN = {"mask": str, "seed": int, "device": str, "dtype": str, "threads": int}
UNTOLD = {(".lengths", ".steps", ".state_bits"): [4, 8, 16], ".jobs": 4}  # examples of what is null or empty by default
TYPED_BY_YAML = ("attention.", "position.")
LAYERS = "attention.layers"  # of a hybrid: names of variants, or mappings that also set some of their settings


def points(line: Sequence[str], sweep: bool = False) -> list[Experiment]:
    """The experiments of a command line, without repetition: one, or with ``sweep`` the product of its values.

    Raises Refusal, one sentence, for anything that cannot be run.
    """
    configs = [_compose(point) for point in _product(line, sweep)]
    with refusing():
        return list(dict.fromkeys(map(Experiment.of, configs)))


def launcher(line: Sequence[str], sweep: bool = False) -> Local | Slurm:
    """The launcher of a command line. Raises Refusal if that is swept over."""
    configs = [_compose(point) for point in _product(line, sweep)]
    with refusing():
        chosen = {_launcher(**config["launcher"]) for config in configs}
    if len(chosen) > 1:
        raise Refusal("launcher: a sweep has one launcher, several were given")
    return chosen.pop()


def _launcher(name: str, **settings: Any) -> Local | Slurm:
    return LAUNCHERS[name](**{key: tuple(v) if isinstance(v, list) else v for key, v in settings.items()})


def variant(line: Sequence[str]) -> Choice:
    """The attention of a command line with its settings, whatever else the line says; it may name no task."""
    named = any(_parse(text).key_or_group == "task" for text in line)
    (point,) = _product([*line, *([] if named else [f"task={choices('task')[0]}"])], sweep=False)
    return Choice.of(_compose(point)["attention"])


def printed(line: Sequence[str], sweep: bool = False) -> str:
    """The composed config of every point, lengths resolved, as yaml documents. Raises Refusal for what cannot run."""
    composed = [_compose(point) for point in _product(line, sweep)]
    with refusing():
        for config, settings in zip(composed, [Experiment.of(config).settings() for config in composed], strict=True):
            for section in ("train", "evaluate"):
                config[section] = config[section] | {"lengths": list(settings[section]["lengths"])}
    return "---\n".join(yaml.safe_dump(config, sort_keys=False) for config in composed)


def _product(line: Sequence[str], sweep: bool) -> list[list[str]]:
    """Check what can be told from the words alone; one list of overrides for each point."""
    axes = [_values(text, sweep) for text in line]
    named = [_chosen(text) for axis in axes for text in axis]
    if "task" not in named:
        raise Refusal(f"task=NAME is missing: {', '.join(choices('task'))} can be chosen")
    return [list(point) for point in product(*axes)]


@cache
def _parse(text: str) -> Override:
    try:
        return OverridesParser.create().parse_override(text)
    except HydraException as error:
        raise Refusal(f"{text}: a setting is written key=value, a list key=[a,b]") from error


def _values(text: str, sweep: bool) -> list[str]:
    """The override itself, or once for each value that it sweeps over."""
    override = _parse(text)
    key = override.key_or_group
    if override.type is not OverrideType.CHANGE or override.package is not None:
        raise Refusal(f"{text}: settings cannot be added or removed, only set: {key}=VALUE")
    if "${" in text:
        raise Refusal(f"{text}: a value is written out, not looked up")
    if not override.is_sweep_override():
        return [text]
    if not sweep:
        raise Refusal(f"{text}: several values make a sweep: put -m before them")
    try:
        values = list(override.sweep_string_iterator())
    except (HydraException, ValueError):  # glob, interval, a range in steps of 0
        values = []
    if not values:
        raise Refusal(f"{text}: a sweep lists its values, {key}=a,b,c or {key}=range(0,3)")
    return [f"{key}={value}" for value in values]


def _chosen(text: str) -> str:
    """The key of an override of one value. Refuses what does not exist in a group."""
    override = _parse(text)
    key, value = override.key_or_group, override.value()
    if key in GROUPS and isinstance(value, list | dict):
        names = ",".join(map(str, value))
        mixed = f", attention=hybrid {LAYERS}=[{names}] has one in each layer" if key == "attention" else ""
        raise Refusal(f"{text}: {key} takes one of {', '.join(choices(key))}; -m {key}={names} compares them{mixed}")
    if key in GROUPS and str(value) not in choices(key):
        raise unknown(f"{key}=", value, choices(key))
    return key


def _compose(overrides: Sequence[str]) -> dict[str, Any]:
    """One point as plain nested values: every key known, every value of its type."""
    parsed = [_parse(text) for text in overrides]
    groups = tuple(override.input_line for override in parsed if override.key_or_group in GROUPS)
    known = _known(groups)
    for override in parsed:
        key, text = override.key_or_group, override.input_line
        group, _, name = key.rpartition(".")
        if group in GROUPS and name == "name":
            raise Refusal(f"{text}: {group} is chosen by {group}=NAME, one of {', '.join(choices(group))}")
        if key not in known and key not in GROUPS:
            settable = [k for k in known if k not in (f"{group}.name" for group in GROUPS)]
            siblings = [k for k in settable if k.startswith(f"{key.split('.')[0]}.")]
            if key in SECTIONS:
                raise Refusal(f"{text}: {key} is set part by part: {', '.join(siblings)}")
            raise unknown("setting ", key, [*GROUPS, *settable], siblings or [*GROUPS, *SECTIONS, *PLAIN])
    typed = _chosen_groups(groups).copy()
    for override in parsed:
        key = override.key_or_group
        if key not in GROUPS:
            try:
                OmegaConf.update(typed, key, override.value())
            except OmegaConfBaseException as error:
                raise Refusal(f"{override.input_line}: {_words(key, known[key])} is needed") from error
    config = _plain(typed)
    for key, value in _leaves(config).items():
        nested = isinstance(value, list) and any(isinstance(part, list | dict) for part in value) and key != LAYERS
        nested |= value is None and isinstance(known[key], list)
        whole = type(value) is int and type(known[key]) is float
        if nested or (key.startswith(TYPED_BY_YAML) and type(value) is not type(known[key]) and not whole):
            raise Refusal(f"{key}={value}: {_words(key, known[key])} is needed")
        if whole:
            group, name = key.split(".")
            config = config | {group: config[group] | {name: float(value)}}
    if config["attention"]["name"] == HYBRID:
        layers = [_layer(entry) for entry in config["attention"]["layers"]]
        config["attention"] = config["attention"] | {"layers": layers}
    return config


def _layer(entry: Any) -> dict[str, Any]:
    """One of ``attention.layers``, ``window`` or ``{name:window,window:32}``, with all settings of its variant."""
    settings = dict(entry) if isinstance(entry, Mapping) else {"name": entry}
    name, variants = settings.pop("name", None), [choice for choice in choices("attention") if choice != HYBRID]
    if name not in variants:
        raise unknown(f"{LAYERS}: ", name, variants)
    line = [f"task={choices('task')[0]}", f"attention={name}", *(f"attention.{k}={v}" for k, v in settings.items())]
    return _compose(line)["attention"]


def _leaves(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    leaves = {}
    for key, value in config.items():
        leaves |= _leaves(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return leaves


def _words(key: str, example: Any) -> str:
    example = next((told for ends, told in UNTOLD.items() if key.endswith(ends)), example)
    if isinstance(example, list):
        return f"a list like [{','.join(map(str, example))}]"
    return {int: "an integer", float: "a number", bool: "true or false", str: "a word"}.get(type(example), "a value")


@cache
def _chosen_groups(overrides: tuple[str, ...]) -> DictConfig:
    """``conf/config.yaml`` with these choices of groups, composed once: hydra takes a tenth of a second for it."""
    _register()
    return compose("config", overrides=list(overrides))


@cache
def _known(groups: tuple[str, ...]) -> dict[str, Any]:
    """Every setting under these choices, with its default."""
    return _leaves(_plain(_chosen_groups(groups)))


def _plain(config: DictConfig) -> dict[str, Any]:
    return OmegaConf.to_container(config, resolve=True, throw_on_missing=True)


@cache
def _register() -> None:
    """Tell hydra the types of all settings: sections and groups here, each task from its dataclass."""
    store = ConfigStore.instance()
    for name in tasks.names():
        store.store(group="task", name=name, node=_schema(tasks.load(name), name=name))
    for name, kind in LAUNCHERS.items():
        store.store(group="launcher", name=f"{name}_types", node=_schema(kind, name=name))
    groups = {key: Any if kind is None else _schema(kind) for key, kind in GROUPS.items()}
    types = groups | {key: _schema(kind) for key, kind in SECTIONS.items()} | PLAIN
    store.store(name="schema", node=make_dataclass("Schema", [(k, t, field(default="???")) for k, t in types.items()]))
    initialize_config_dir(str(CONF), version_base="1.3")


def _schema(cls: type, **named: str) -> type:
    """The fields of a frozen dataclass as hydra wants them: not frozen, tuples as lists, no default as missing."""
    types = typing.get_type_hints(cls)
    columns = [(key, str, field(default=value)) for key, value in named.items()]
    for f in fields(cls):
        listed = typing.get_origin(types[f.name]) is tuple
        kind = list[typing.get_args(types[f.name])[0]] | None if listed else types[f.name]
        default = "???" if f.default is MISSING else f.default
        columns.append((f.name, kind, field(default_factory=lambda d=default: list(d) if isinstance(d, tuple) else d)))
    return make_dataclass(cls.__name__, columns)
