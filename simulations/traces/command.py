"""Make a trace for the simulator from the records of a service, or from a public trace."""

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
    """No trace can be made; the message says why."""


EXIT_STATUS = {0: "the trace is written", 2: "there is no trace to write"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `export` and `import`."""
    ways = parser.add_subparsers(required=True, metavar="export|import", dest="way")
    export = ways.add_parser("export", help="make a trace from the records of a service", description=export_.__doc__)
    add = export.add_argument
    add("out", type=_table, metavar="OUT", help=f"the trace: {', '.join(ENDINGS)}")
    add("--service", required=True, metavar="NAMESPACE/NAME", help="the name of the service")
    source = export.add_mutually_exclusive_group(required=True)
    source.add_argument("--prometheus", metavar="URL", help="read counters; arrivals are exact to one --step")
    source.add_argument(
        "--request-log",
        type=Path,
        action="append",
        metavar="FILE",
        help="read a log of `autoscaler gateway`; arrivals are exact; repeatable",
    )
    add("--from", type=_time, dest="start", metavar="TIME", help="begin, in ISO 8601 or Unix time (a day before --to)")
    add("--to", type=_time, dest="end", metavar="TIME", help="end (now)")
    add("--step", type=_whole, default=STEP_S, metavar="S", help=f"seconds, at least the scrape interval ({STEP_S})")
    add("--arrivals", metavar="SELECTOR", help="the counter of another proxy, such as 'istio_requests_total{...}'")
    add("--inflight", type=_table, metavar="OUT", help="with --prometheus: also write the requests in flight")
    import_ = ways.add_parser("import", help="make a trace from a public one", description=import_trace.__doc__)
    import_.add_argument("format", choices=FORMATS, help="the format of the public trace")
    import_.add_argument("file", type=Path, metavar="FILE", help="the public trace")
    import_.add_argument("out", type=_table, metavar="OUT", help="a trace, or from servegen a rate curve")


def run(arguments: argparse.Namespace) -> int:
    """Write the trace and print a summary.

    Returns:
        0 if the trace is written, 2 if there is none.
    """
    from autoscaler.documents.document import DocumentError  # noqa: PLC0415  # --help reads no YAML

    try:
        (export_ if arguments.way == "export" else import_trace)(arguments)
    except (DocumentError, TraceError, OSError) as error:
        sys.stderr.write(f"trace: {error}\n")
        return 2
    return 0


def export_(arguments: argparse.Namespace) -> None:
    """Write the requests of a service as a trace, for the workload `trace` of a scenario.

    A gateway's request log has every arrival, and the service time of each request that was served. Prometheus has the
    number of arrivals between two steps, which are spread over the step. Times without data are reported and left out;
    the trace goes on after them.
    """
    if arguments.request_log and (arguments.inflight or arguments.arrivals):
        raise TraceError("--inflight and --arrivals are for --prometheus")
    trace = _from_log(arguments) if arguments.request_log else _from_prometheus(arguments)
    if not len(trace):
        raise TraceError(f"there is no request of {arguments.service} in this time")
    _write(trace.columns(), arguments.out)
    _print(f"{arguments.out}: {_summary(trace)}")


def import_trace(arguments: argparse.Namespace) -> None:
    """Read a public trace in its publisher's format, and write one for the simulator.

    azure-llm gives arrivals, azure-functions arrivals and service times, both for the workload `trace`. servegen gives
    a rate for the workload `rateCurve`, and its `cv` is printed.
    """
    from simulations.traces import importers  # noqa: PLC0415  # as above

    if arguments.format == "servegen":
        curve = importers.servegen(arguments.file)
        _write({"at_s": curve.at_s, "rate": curve.rate}, arguments.out)
        _print(f"{arguments.out}: {_curve_summary(curve)}")
        return
    read = importers.azure_llm if arguments.format == "azure-llm" else importers.azure_functions
    trace = read(arguments.file)
    _write(trace.columns(), arguments.out)
    _print(f"{arguments.out}: {_summary(trace)}")


# Reading records.


def _from_log(arguments: argparse.Namespace) -> "Trace":
    from simulations.traces.recorded import trace_of_log  # noqa: PLC0415  # as above

    start_s, end_s = arguments.start or float("-inf"), arguments.end or float("inf")
    return trace_of_log(request_log_lines(arguments.request_log), arguments.service, start_s, end_s)


def request_log_lines(paths: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """Read and check the lines; an incomplete last line is left out, as it is still being written."""
    from simulations.traces.recorded import checked_line  # noqa: PLC0415  # as above

    for path in paths:
        *whole, _rest = path.read_text(encoding="utf-8").split("\n")
        for number, line in enumerate(whole, 1):
            try:
                yield checked_line(json.loads(line))
            except json.JSONDecodeError as error:
                raise TraceError(f"{path}:{number}: not a line of a request log: {error}") from error
            except ValueError as error:
                raise TraceError(f"{path}:{number}: {error}") from error


def trace_from_prometheus(address: str, service: str, since_s: float) -> "tuple[Trace, float, float]":
    """Give the last requests of a service, exact to `STEP_S`, when the time begins, and how many seconds are known.

    Raises:
        TraceError: Prometheus cannot be read, or has no data in this time.
    """
    from autoscaler.sources.prometheus_export import HistoryError, Prometheus  # noqa: PLC0415  # as above
    from simulations.traces.recorded import trace_of_counts  # noqa: PLC0415

    try:
        end_s = Prometheus(address).now_s()
    except HistoryError as error:
        raise TraceError(str(error)) from error
    asked = {"prometheus": address, "service": service, "arrivals": None, "inflight": None}
    found, grid = _counted(argparse.Namespace(start=end_s - since_s, end=end_s, step=STEP_S, **asked))
    known_s = sum(count is not None for count in found.counts) * grid.step_s
    return trace_of_counts(found, grid.step_s), end_s - since_s, float(known_s)


def _from_prometheus(arguments: argparse.Namespace) -> "Trace":
    from simulations.traces.recorded import trace_of_counts  # noqa: PLC0415  # as above

    found, grid = _counted(arguments)
    return trace_of_counts(found, grid.step_s)


def _counted(arguments: argparse.Namespace) -> "tuple[Arrivals, Grid]":
    from autoscaler.sources.prometheus_export import HistoryError, Prometheus  # noqa: PLC0415  # an extra, and heavy
    from simulations.traces.recorded import arrivals  # noqa: PLC0415

    server = Prometheus(arguments.prometheus, _bar if sys.stderr.isatty() else None)
    try:
        grid = _grid(arguments, server)
        labels = _labels(arguments.service)
        counters = server.read(arguments.arrivals or f"gateway_arrived_requests_total{{{labels}}}", grid)
        if not counters:
            raise TraceError(f"Prometheus has no counter of {arguments.service} in this time; {_step_hint(grid)}")
        if arguments.inflight:
            _write_inflight(server, labels, grid, arguments.inflight)
    except HistoryError as error:
        raise TraceError(str(error)) from error
    found = arrivals(counters.values(), grid.instants)
    _report_missing(found, grid)
    return found, grid


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


# Output.


def _report_missing(found: "Arrivals", grid: "Grid") -> None:
    for first, last in found.missing:
        span = f"{_clock(grid.time_s(first))} to {_clock(grid.time_s(last))}"
        sys.stderr.write(f"missing: {span}: no data; the trace leaves this time out\n")
    for number in found.restarts:
        when = _clock(grid.time_s(number + 1))
        sys.stderr.write(
            f"missing: before {when} a gateway restarted: requests since its last sample are not counted\n"
        )
    if found.missing and all(count is None for count in found.counts):
        raise TraceError(f"there is no data in this time; {_step_hint(grid)}")


def _step_hint(grid: "Grid") -> str:
    return f"--step {grid.step_s} must be at least the scrape interval"


def _summary(trace: "Trace") -> str:
    import numpy as np  # noqa: PLC0415  # as above

    distances = np.diff(trace.arrival_s)
    mean = distances.mean() if len(distances) else 0.0
    spread = f", coefficient of variation {distances.std() / mean:.2f}" if mean else ""
    known = 0 if trace.service_s is None else np.count_nonzero(~np.isnan(trace.service_s))
    served = f", {known} with a service time" if known else ""
    return f"{len(trace)} requests in {trace.arrival_s[-1]:.0f} s{spread}{served}"


def _curve_summary(curve: "Curve") -> str:
    import numpy as np  # noqa: PLC0415  # as above

    requests = float((curve.rate[:-1] * np.diff(curve.at_s)).sum())
    return (
        f"a rate over {curve.at_s[-1]:.0f} s, about {requests:.0f} requests; write `cv: {curve.cv:.2f}` beside the file"
    )


def _write(columns: "dict[str, Floats]", path: Path) -> None:
    """Write columns in the format of the file's ending; unknown values are empty."""
    import pyarrow as pa  # type: ignore[import-untyped]  # noqa: PLC0415  # as above

    from simulations.results.tables import write  # noqa: PLC0415

    arrays = {name: pa.array(column.round(6), from_pandas=True) for name, column in columns.items()}
    write(pa.table(arrays), path)


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _clock(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _bar(done: int, total: int) -> None:
    filled = 30 * done // total
    end = "\n" if done == total else ""
    sys.stderr.write(f"\r[{'#' * filled}{'.' * (30 - filled)}] {done} of {total} chunks{end}")


# Arguments.


def _table(text: str) -> Path:
    path = Path(text)
    if path.suffix not in ENDINGS or not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text}: must end in {', '.join(ENDINGS)} and be in a folder that exists")
    return path


def _time(text: str) -> float:
    """Read a time; UTC if it has no zone."""
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
