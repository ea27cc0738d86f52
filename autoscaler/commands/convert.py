"""Convert the objects of another autoscaler to ScalingPolicies, with their Deployments and Services.

Reads Knative Services, KEDA's ScaledObjects, HTTPScaledObjects and InterceptorRoutes, and HorizontalPodAutoscalers:
several documents and Lists, as written by hand or by `kubectl get -o yaml`. Deployments, Services and Ingresses that
stand beside them are used. A report on stderr, and as comments in the output, says what became of each value: mapped,
kept, or without effect here and why. If a document cannot be converted, nothing is written.
"""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from autoscaler.commands.options import whole_number
from autoscaler.convert.draft import Options
from autoscaler.convert.readers import Conversion, convert
from autoscaler.convert.report import file_name, manifest, report
from autoscaler.convert.unrendered import in_text
from autoscaler.documents.document import Document, DocumentError, mixed_documents, text_of

EXIT_STATUS = {
    0: "everything is written",
    1: "nothing is written: a document cannot be converted, or `--strict` and a value has no effect or is to decide",
    2: "a file cannot be read or written",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the files and options."""
    parser.add_argument(
        "-f",
        "--file",
        dest="files",
        action="append",
        required=True,
        metavar="FILE",
        help="documents to convert; - is standard input; repeatable",
    )
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="write one file for each service (stdout)")
    parser.add_argument(
        "--algorithm",
        choices=["same", "concurrency"],
        default="same",
        help="decide exactly as before, or by the default algorithm (same)",
    )
    parser.add_argument(
        "--max",
        type=whole_number(1, 10_000),
        metavar="N",
        help="maxReplicas where the input says no maximum (10, with a warning)",
    )
    parser.add_argument("--route", choices=["ingress", "gateway-api"], help="also write the route to the gateway")
    parser.add_argument(
        "--nodes",
        choices=["cloud", "ours"],
        default="cloud",
        help="who chooses among the GPU kinds of k8s.aliyun.com/eci-use-specs: the cloud, by this annotation, or we, "
        "by pools (cloud)",
    )
    parser.add_argument(
        "--strict", action="store_true", help="exit with 1 if a value has no effect or needs a decision"
    )


def run(arguments: argparse.Namespace) -> int:
    """Convert all files; 0 written, 1 something cannot be converted, 2 a file cannot be read or written."""
    try:
        texts = [(name, _text(name)) for name in arguments.files]
    except DocumentError as error:
        return _refused(str(error), 2)
    try:
        conversion = _conversion(texts, arguments)
    except DocumentError as error:
        return _refused(str(error), 1)
    print(report(conversion), end="", file=sys.stderr)
    if arguments.strict and not conversion.is_strict:
        return _refused("nothing is written, because of --strict: see above what needs a decision or has no effect", 1)
    try:
        _write(conversion, arguments.output)
    except OSError as error:
        return _refused(str(error), 2)
    return 0


def _refused(text: str, status: int) -> int:
    print(text, file=sys.stderr)
    return status


def _text(name: str) -> str:
    """Read a file; raises DocumentError if it cannot be read as text."""
    if name != "-":
        return text_of(Path(name))
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise DocumentError([f"stdin: cannot be read: {error}"]) from error


def _conversion(texts: Iterable[tuple[str, str]], arguments: argparse.Namespace) -> Conversion:
    """Read and convert; raises DocumentError with the problems of all files."""
    documents, problems = list[Document](), list[str]()
    for name, text in texts:
        source = "stdin" if name == "-" else name
        try:
            documents += mixed_documents(text, source)
        except DocumentError as error:
            problems += in_text(text, source) or error.problems
    options = Options(arguments.algorithm, arguments.max, arguments.route, arguments.nodes)
    try:
        conversion = convert(documents, options)
    except DocumentError as error:
        problems += error.problems if documents or not problems else []
    if problems:
        raise DocumentError(problems)
    return conversion


def _write(conversion: Conversion, folder: Path | None) -> None:
    if folder is None:
        print("---\n".join(map(manifest, conversion.services)), end="")
        return
    folder.mkdir(parents=True, exist_ok=True)
    for converted in conversion.services:
        path = folder / file_name(converted)
        path.write_text(manifest(converted), encoding="utf-8")
        print(path)
