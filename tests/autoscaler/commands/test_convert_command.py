"""`autoscaler convert`: what it reads, what it writes where, and its exit status."""

import io
import sys

import pytest
from convert_kit import DATA

from autoscaler.cli import main
from autoscaler.policy.loading import read_policies

REFERENCE = str(DATA / "reference-service.yaml")
OLD = str(next(DATA.glob("01*.yaml")))
NOT_RENDERED = str(next(DATA.glob("04*.yaml")))


def test_without_a_folder_the_objects_are_one_stream_and_the_report_is_beside_it(capsys, tmp_path):
    assert main(["convert", "-f", REFERENCE, "-f", OLD]) == 0
    told = capsys.readouterr()
    assert [line for line in told.out.splitlines() if line.startswith("kind: ScalingPolicy")] == [
        "kind: ScalingPolicy"
    ] * 2
    assert "knative-sd-demo.default.example.com is a guess" in told.err
    stream = tmp_path / "out.yaml"
    stream.write_text(told.out)
    names = [policy.service for policy in read_policies([stream])]
    assert names == ["default/knative-sd-demo", "default/picture-maker"]


def test_with_a_folder_each_service_is_a_file(capsys, tmp_path):
    folder = tmp_path / "new" / "folder"
    assert main(["convert", "-f", REFERENCE, "-f", OLD, "-o", str(folder)]) == 0
    files = sorted(folder.iterdir())
    assert [file.name for file in files] == ["default_knative-sd-demo.yaml", "default_picture-maker.yaml"]
    assert capsys.readouterr().out.split() == [str(file) for file in files]
    assert len(read_policies(files)) == 2


def test_standard_input_is_read(capsys, monkeypatch):
    with open(REFERENCE, encoding="utf-8") as file:  # noqa: PTH123 - as a shell does
        monkeypatch.setattr(sys, "stdin", io.StringIO(file.read()))
    assert main(["convert", "-f", "-"]) == 0
    assert "stdin:3" in capsys.readouterr().err


def test_nothing_is_written_where_one_document_cannot_be_converted(capsys, tmp_path):
    assert main(["convert", "-f", REFERENCE, "-f", NOT_RENDERED, "-o", str(tmp_path / "out")]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert f"{NOT_RENDERED}:6: metadata.name" in told.err
    assert not (tmp_path / "out").exists()


def test_all_problems_of_all_files_are_named_at_once(capsys, tmp_path):
    helm = tmp_path / "chart.yaml"
    helm.write_text(
        "kind: Service\nmetadata:\n  name: {{ .Release.Name }}\n{{- if .Values.gpu }}\nspec: {}\n{{- end }}\n"
    )
    assert main(["convert", "-f", str(helm), "-f", NOT_RENDERED]) == 1
    told = capsys.readouterr().err
    for line in (3, 4, 6):
        assert f"{helm}:{line}: " in told
    assert f"{helm}:3: name: {{{{ .Release.Name }}}}: is not rendered" in told
    assert f"{NOT_RENDERED}:38: " in told


def test_strict_accepts_nothing_without_effect_and_writes_nothing(capsys, tmp_path):
    assert main(["convert", "-f", OLD, "--strict", "-o", str(tmp_path / "out")]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert "without effect here" in told.err
    assert not (tmp_path / "out").exists()


def test_strict_accepts_the_reference_service_as_it_is(capsys):
    assert main(["convert", "-f", REFERENCE, "--strict"]) == 0
    assert "knative-sd-demo.default.example.com is a guess" in capsys.readouterr().err


def test_strict_accepts_what_leaves_nothing_to_decide(capsys, tmp_path):
    file = tmp_path / "in.yaml"
    with open(REFERENCE, encoding="utf-8") as reference:  # noqa: PTH123 - as a shell does
        file.write_text(reference.read() + "status: {url: 'http://sd.example.org'}\n")
    assert main(["convert", "-f", str(file), "--strict"]) == 0
    assert "hosts:\n    - sd.example.org" in capsys.readouterr().out


def test_a_file_that_cannot_be_read_is_named(capsys, tmp_path):
    assert main(["convert", "-f", str(tmp_path / "none.yaml")]) == 2
    assert "none.yaml: cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("number", ["0", "-1", "10001", "many"])
def test_a_maximum_out_of_range_is_refused_with_what_is_legal(number, capsys):
    with pytest.raises(SystemExit):
        main(["convert", "-f", REFERENCE, "--max", number])
    assert "must be a whole number of 1 to 10000" in capsys.readouterr().err
