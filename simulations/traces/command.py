"""Make traces for the simulator: from what was recorded of a service, or from public ones."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autoscaler.sources.prometheus_export import Grid, Prometheus
    from simulations.model.run_inputs import Floats
    from simulations.traces.importers import Curve
    from simulations.traces.recorded import Arrivals, Trace

FORMATS = ("azure-llm", "azure-functions", "servegen")
ENDINGS = (".csv", ".jsonl", ".parquet")
DAY_S = 86400
STEP_S = 15


class TraceError(Exception):
    """There is no trace to be had; the message says why."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare both ways."""
    ways = parser.add_subparsers(required=True, metavar="export|import", dest="way")
    export = ways.add_parser("export", help="what was recorded of a service", description=export_.__doc__)
    add = export.add_argument
    add("out", type=_table, metavar="OUT", help=f"the trace: {', '.join(ENDINGS)}")
    add("--service", required=True, metavar="NAMESPACE/NAME", help="as the gateway calls it")
    source = export.add_mutually_exclusive_group(required=True)
    source.add_argument("--prometheus", metavar="URL", help="arrivals from counters: when, to a step")
    source.add_argument(
        "--request-log", type=Path, action="append", metavar="FILE", help="of `autoscaler gateway`: exactly; repeatable"
    )
    add("--from", type=_time, dest="start", metavar="TIME", help="ISO 8601 or Unix time (a day before --to)")
    add("--to", type=_time, dest="end", metavar="TIME", help="(now)")
    add("--step", type=_whole, default=STEP_S, metavar="S", help=f"not below the scrape interval ({STEP_S})")
    add("--arrivals", metavar="SELECTOR", help="a counter of another gateway, such as 'istio_requests_total{...}'")
    add("--inflight", type=_table, metavar="OUT", help="with --prometheus: write the requests in flight over time")
    import_ = ways.add_parser("import", help="a public trace", description=import_trace.__doc__)
    import_.add_argument("format", choices=FORMATS)
    import_.add_argument("file", type=Path, metavar="FILE")
    import_.add_argument("out", type=_table, metavar="OUT", help="a trace, or from servegen a rate curve")


def run(arguments: argparse.Namespace) -> int:
    """Write it and say what it is; 2 where there is none."""
    from autoscaler.documents.document import DocumentError  # noqa: PLC0415  # --help reads no YAML

    try:
        (export_ if arguments.way == "export" else import_trace)(arguments)
    except (DocumentError, TraceError, OSError) as error:
        sys.stderr.write(f"trace: {error}\n")
        return 2
    return 0


def export_(arguments: argparse.Namespace) -> None:
    """Write what came to a service as a trace, which the workload `trace` of a scenario replays.

    A gateway's request log knows every arrival, and the service time of all that was served. Prometheus knows how many
    came between two steps: they are spread over the step. Times of which it knows nothing are named and left out; the
    trace goes on after them.
    """
    if arguments.request_log and (arguments.inflight or arguments.arrivals):
        raise TraceError("--inflight and --arrivals are for --prometheus")
    trace = _from_log(arguments) if arguments.request_log else _from_prometheus(arguments)
    if not len(trace):
        raise TraceError(f"no request of {arguments.service} is known in this time")
    _write(trace.columns(), arguments.out)
    _say(f"{arguments.out}: {_told(trace)}")


def import_trace(arguments: argparse.Namespace) -> None:
    """Read a public trace as its publisher wrote it, and write one for the simulator.

    From azure-llm come arrivals, from azure-functions arrivals and service times, for the workload `trace`; from
    servegen a rate for the workload `rateCurve`, whose `cv` is printed.
    """
    from simulations.traces import importers  # noqa: PLC0415  # as above

    if arguments.format == "servegen":
        curve = importers.servegen(arguments.file)
        _write({"at_s": curve.at_s, "rate": curve.rate}, arguments.out)
        _say(f"{arguments.out}: {_told_curve(curve)}")
        return
    read = importers.azure_llm if arguments.format == "azure-llm" else importers.azure_functions
    trace = read(arguments.file)
    _write(trace.columns(), arguments.out)
    _say(f"{arguments.out}: {_told(trace)}")


# From where it is recorded.


def _from_log(arguments: argparse.Namespace) -> "Trace":
    from simulations.traces.recorded import trace_of_log  # noqa: PLC0415  # as above

    start_s, end_s = arguments.start or float("-inf"), arguments.end or float("inf")
    try:
        return trace_of_log(_lines(arguments.request_log), arguments.service, start_s, end_s)
    except (LookupError, TypeError) as error:
        raise TraceError(f"this is no request log: {error!r}") from error


def _lines(paths: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """Read the lines; a last one that breaks off was being written."""
    for path in paths:
        *whole, _rest = path.read_text(encoding="utf-8").split("\n")
        for number, line in enumerate(whole, 1):
            try:
                yield json.loads(line)
            except ValueError as error:
                raise TraceError(f"{path}:{number}: this is no line of a request log: {error}") from error


def _from_prometheus(arguments: argparse.Namespace) -> "Trace":
    try:
        from autoscaler.sources.prometheus_export import HistoryError, Prometheus  # noqa: PLC0415  # an extra, and heavy
    except ModuleNotFoundError as error:
        raise TraceError(f"{error}; it comes with the extra `history`") from error
    from simulations.traces.recorded import arrivals, trace_of_counts  # noqa: PLC0415

    server = Prometheus(arguments.prometheus, _bar if sys.stderr.isatty() else None)
    try:
        grid = _grid(arguments, server)
        labels = _labels(arguments.service)
        counters = server.read(arguments.arrivals or f"gateway_arrived_requests_total{{{labels}}}", grid)
        if not counters:
            raise TraceError(f"Prometheus knows no counter of {arguments.service} in this time; {_step_hint(grid)}")
        if arguments.inflight:
            _write_inflight(server, labels, grid, arguments.inflight)
    except HistoryError as error:
        raise TraceError(str(error)) from error
    found = arrivals(counters.values(), grid.instants)
    _name_what_is_missing(found, grid)
    return trace_of_counts(found, grid.step_s)


def _grid(arguments: argparse.Namespace, server: "Prometheus") -> "Grid":
    from autoscaler.sources.prometheus_export import Grid  # noqa: PLC0415  # as above

    end_s = arguments.end or server.now_s()
    start_s = arguments.start or end_s - DAY_S
    instants = int((end_s - start_s) // arguments.step) + 1
    if instants < 2:  # noqa: PLR2004  # the ends of one interval
        raise TraceError(f"--to must be at least a step of {arguments.step} s after --from")
    return Grid(int(start_s), arguments.step, instants)


def _labels(service: str) -> str:
    namespace, _, name = service.rpartition("/")
    return f'namespace="{namespace or "default"}",service="{name}"'


def _write_inflight(server: "Prometheus", labels: str, grid: "Grid", path: Path) -> None:
    from simulations.traces.recorded import inflight_columns  # noqa: PLC0415  # as above

    by_state = {
        state: list(server.read(f'inflight_requests{{{labels},state="{state}"}}', grid).values())
        for state in ("queued", "running")
    }
    _write(inflight_columns(by_state, grid.instants, grid.step_s), path)


# What is told.


def _name_what_is_missing(found: "Arrivals", grid: "Grid") -> None:
    for first, last in found.missing:
        span = f"{_clock(grid.time_s(first))} to {_clock(grid.time_s(last))}"
        sys.stderr.write(f"missing: {span}: nothing is known; the trace leaves it out\n")
    for number in found.restarts:
        when = _clock(grid.time_s(number + 1))
        sys.stderr.write(f"missing: before {when} a gateway began anew: what came since its last sample is not known\n")
    if found.missing and all(count is None for count in found.counts):
        raise TraceError(f"nothing is known in this time; {_step_hint(grid)}")


def _step_hint(grid: "Grid") -> str:
    return f"--step {grid.step_s} must not be below the scrape interval"


def _told(trace: "Trace") -> str:
    import numpy as np  # noqa: PLC0415  # as above

    distances = np.diff(trace.arrival_s)
    mean = distances.mean() if len(distances) else 0.0
    spread = f", distances vary by {distances.std() / mean:.2f} of their mean" if mean else ""
    known = 0 if trace.service_s is None else np.count_nonzero(~np.isnan(trace.service_s))
    served = f", service time of {known} known" if known else ""
    return f"{len(trace)} requests in {trace.arrival_s[-1]:.0f} s{spread}{served}"


def _told_curve(curve: "Curve") -> str:
    import numpy as np  # noqa: PLC0415  # as above

    requests = float((curve.rate[:-1] * np.diff(curve.at_s)).sum())
    return (
        f"a rate over {curve.at_s[-1]:.0f} s, about {requests:.0f} requests; write `cv: {curve.cv:.2f}` beside the file"
    )


def _write(columns: "dict[str, Floats]", path: Path) -> None:
    """Write columns by the file's ending; what is not known is left empty."""
    import pyarrow as pa  # type: ignore[import-untyped]  # noqa: PLC0415  # as above

    from simulations.results.tables import write  # noqa: PLC0415

    arrays = {name: pa.array(column.round(6), from_pandas=True) for name, column in columns.items()}
    write(pa.table(arrays), path)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _clock(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _bar(done: int, total: int) -> None:
    filled = 30 * done // total
    end = "\n" if done == total else ""
    sys.stderr.write(f"\r[{'#' * filled}{'.' * (30 - filled)}] {done} of {total} chunks{end}")


# What is asked for.


def _table(text: str) -> Path:
    path = Path(text)
    if path.suffix not in ENDINGS or not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text}: must end in {', '.join(ENDINGS)} and lie in a folder that exists")
    return path


def _time(text: str) -> float:
    """Read a time; UTC where it names no zone."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        legal = "must be ISO 8601 such as 2026-03-01T08:00Z, or Unix time"
        raise argparse.ArgumentTypeError(f"{text!r}: {legal}") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _whole(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r}: must be whole seconds, 1 or more")
    return int(text)
