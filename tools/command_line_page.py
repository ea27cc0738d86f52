"""The reference page of the command line, made from the commands' own parsers: options, variables, exit statuses."""

import argparse
import inspect
import re
from collections.abc import Iterator
from importlib.metadata import entry_points

from autoscaler.cli import GROUP, Command

_HEAD = """\
# The command line

`autoscaler --help` lists the commands, `autoscaler COMMAND --help` shows one of them, and `autoscaler --version` shows
the release. `python -m autoscaler` is the same program. This page is generated from the commands' own options.

A duration is written `500ms`, `20s`, `5m` or `1h30m`.

## Install

The wheel `inflight-autoscaler` has three import packages: `autoscaler`, `simulations` and `algorithms`. `validate`,
`explain-policy`, `replay` and `schema` need no extra. A command that lacks a package names the extra that brings it.

| extra | for |
|---|---|
| `demo` | `demo` |
| `gateway` | `gateway` |
| `cluster` | `run`, and `gateway` in a cluster |
| `sim` | `simulate`, `sweep`, `compare`, `report`, `trace`, `validate` of a Scenario or a Sweep, and `demo --plot` |
| `dask` | `sweep --on dask://HOST:PORT` |
| `history` | `trace export --prometheus` |
| `terminal` | `top` and `explain` |
| `validate` | `validate --against` |
| `traces` | `--traces` of `run` and `gateway` |

## Exit status

| status | meaning |
|---|---|
| 0 | success |
| 1 | the command ran, and its result is not the expected one |
| 2 | the command cannot run. The message names the option, file, document, port or package that is the cause |
| 130 | Ctrl-C |
| 141 | the output is not read to its end, as with `autoscaler schema \\| head` |

Each command below lists its own. `autoscaler run` and `autoscaler gateway` end with 0 after SIGTERM or Ctrl-C.

## Environment

Each option of `autoscaler run` and `autoscaler gateway` has a variable, which its table names. An option on the command
line wins over its variable. An empty variable is not set. If an option can be repeated, separate the values of its
variable by commas.

| other variable | used by | meaning |
|---|---|---|
| `KUBECONFIG` | `run`, `gateway` | the cluster. Default: that of the pod's account, or `~/.kube/config` |
| `KUBERNETES_SERVICE_HOST` | `run`, `gateway` | the API server's host. Kubernetes sets it in a pod |
| `KUBERNETES_SERVICE_PORT` | `run`, `gateway` | the API server's port. Kubernetes sets it in a pod |
| `HEY`, `PROMETHEUS` | `demo` | the programs `hey` and `prometheus` to start, in place of those that it finds |
| `OTEL_EXPORTER_OTLP_ENDPOINT` | `run`, `gateway` | the receiver of [traces](../how-to/traces.md), if no `--traces` |
| `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` | `run`, `gateway` | the same, with the whole path |
| `XDG_CACHE_HOME` | `demo`, `simulate` | where the folder `inflight` with programs and compiled code is |
"""


def command_line() -> str:
    """Give the whole page."""
    found = sorted(entry_points(group=GROUP), key=lambda entry: entry.name)
    return "\n".join([_HEAD, *(line for entry in found for line in _command(entry.name, entry.load()))])


def _command(name: str, command: Command) -> Iterator[str]:
    parser = argparse.ArgumentParser(prog=f"autoscaler {name}", description=command.__doc__)
    command.add_arguments(parser)
    yield from _section(parser, "##")
    yield from ["| exit status | meaning |", "|---|---|"]
    yield from (f"| {status} | {meaning} |" for status, meaning in command.EXIT_STATUS.items())
    yield ""


def _section(parser: argparse.ArgumentParser, heading: str) -> Iterator[str]:
    """Give a heading, what the command says of itself, and its options; then its own commands in the same way."""
    yield from [f"{heading} `{parser.prog}`", "", _plain(inspect.cleandoc(parser.description or "")), ""]
    actions = [action for action in parser._actions if action.dest != "help"]  # noqa: SLF001 - argparse lists them nowhere else
    inner = [action.choices for action in actions if isinstance(action, argparse._SubParsersAction)]  # noqa: SLF001
    if not inner:
        yield from _table(actions)
    for choices in inner:
        for each in choices.values():
            yield from _section(each, f"{heading}#")


def _table(actions: list[argparse.Action]) -> Iterator[str]:
    rows = [_row(action) for action in actions]
    has_variables = any(variable for *_, variable in rows)
    yield "| option | default | meaning |" + (" variable |" if has_variables else "")
    yield "|---|---|---|" + ("---|" if has_variables else "")
    for option, default, meaning, variable in rows:
        yield f"| `{option}` | {default} | {meaning} |" + (f" {variable} |" if has_variables else "")
    yield ""


def _row(action: argparse.Action) -> tuple[str, str, str, str]:
    """Give an option's spelling, default, meaning and variable; the last two parts of its help are in brackets."""
    text, _, variable = (action.help or "").partition(" [INFLIGHT_")
    given = re.fullmatch(r"(.*?) ?\(((?:[^()]|\([^()]*\))*)\)", text.replace("%%", "%"), re.DOTALL)
    meaning, default = given.groups() if given else (text.replace("%%", "%"), "")
    if action.required:
        default = "required"
    return _spelling(action), _cell(default), _cell(meaning), variable and f"`INFLIGHT_{variable.removesuffix(']')}`"


def _spelling(action: argparse.Action) -> str:
    value = action.metavar or (f"{{{','.join(map(str, action.choices))}}}" if action.choices else action.dest.upper())
    if not action.option_strings:
        return f"{value} ..." if action.nargs == "+" else str(value)
    names = ", ".join(action.option_strings)
    return names if action.nargs == 0 else f"{names} {value}"


def _plain(text: str) -> str:
    """Mark the options and variables of a text as code, where they are not."""
    bare = re.compile(r"(?<![\w-])(--[a-z][\w-]*(?: [A-Z]+\b)?|INFLIGHT_\w+)")
    parts = text.split("`")
    return "`".join(part if place % 2 else bare.sub(r"`\1`", part) for place, part in enumerate(parts))


def _cell(text: str) -> str:
    return _plain(text.replace("|", "\\|"))
