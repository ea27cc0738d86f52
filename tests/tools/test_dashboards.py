"""The dashboards are what Grafana reads, and every metric that they and the rules name exists."""

import json
import re

import yaml
from alerts import ALERTS, RECORDS
from dashboards import SCHEMA_VERSION, WIDTH, files, queries
from documentation import ROOT, table
from panels import DASHBOARDS

GRAFANA = ROOT / "manifests" / "grafana"
MODELS = {name: json.loads(text) for name, text in files().items()}


def panels(model):
    return [panel for panel in model["panels"] if panel["type"] != "row"]


def documented():
    """Give every metric of the reference page, with the series of histograms."""
    found = set()
    for heading in ("The gateway", "The controller"):
        for name, kind, *_ in table("reference/metrics.md", heading, "metric"):
            parts = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
            found |= {name.strip("`") + part for part in parts}
    return found


def test_the_reference_panels_come_first():
    titles = [panel["title"] for panel in panels(MODELS["inflight-service.json"])]
    assert titles[:6] == ["Request volume", "Success rate", "4xx", "5xx", "Pods over time", "Response time"]
    response_time = panels(MODELS["inflight-service.json"])[5]
    assert [target["legendFormat"] for target in response_time["targets"]] == ["P50", "P90", "P95", "P99"]


def test_a_dashboard_is_of_the_model_that_grafana_11_and_later_read():
    for model in MODELS.values():
        assert model["schemaVersion"] == SCHEMA_VERSION
        assert "__inputs" not in model, "a dashboard that is provisioned is not imported"
        identities = [panel["id"] for panel in model["panels"]]
        assert len(set(identities)) == len(identities)
        for panel in panels(model):
            references = [target["refId"] for target in panel["targets"]]
            assert len(set(references)) == len(references) > 0
            assert panel["description"].endswith(".")


def test_each_query_asks_the_data_source_that_the_reader_has_chosen():
    for model in MODELS.values():
        first = model["templating"]["list"][0]
        assert (first["type"], first["query"], first["name"]) == ("datasource", "prometheus", "datasource")
        sources = [each["datasource"] for panel in panels(model) for each in (panel, *panel["targets"])]
        sources += [variable["datasource"] for variable in model["templating"]["list"][1:]]
        assert all(source == {"type": "prometheus", "uid": "${datasource}"} for source in sources)


def test_no_panel_lies_over_another():
    for model in MODELS.values():
        taken = set()
        for place in (panel["gridPos"] for panel in model["panels"]):
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert not cells & taken
            assert place["x"] + place["w"] <= WIDTH
            taken |= cells


def test_every_metric_that_is_asked_for_exists():
    expressions = [each for dashboard in DASHBOARDS for each in queries(dashboard)]
    expressions += [*RECORDS.values(), *(alert.expression for alert in ALERTS)]
    named = {name for each in expressions for name in re.findall(r"\b(?<!:)((?:inflight|gateway)_\w+)(?!\w*:)", each)}
    assert named <= documented()


def test_the_kustomization_has_every_dashboard_with_the_label_of_grafanas_sidecar():
    kustomization = yaml.safe_load((GRAFANA / "kustomization.yaml").read_text())
    (generated,) = kustomization["configMapGenerator"]
    assert generated["files"] == [f"dashboards/{name}" for name in files()]
    assert generated["options"]["labels"] == {"grafana_dashboard": "1"}
    assert sum(map(len, files().values())) < 2**20, "a ConfigMap has at most 1 MiB"


def test_the_resource_and_the_plain_file_have_the_same_rules():
    resource = yaml.safe_load((GRAFANA / "prometheusrule.yaml").read_text())
    assert resource["spec"] == yaml.safe_load((GRAFANA / "rules.yaml").read_text())
