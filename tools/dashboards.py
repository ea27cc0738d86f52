"""The Grafana dashboards of `panels` as the JSON that Grafana 11 and later read (the Classic model)."""

import json
from typing import Any

from panels import DASHBOARDS, Dashboard, Panel, Query

SCHEMA_VERSION = 39
"""That of Grafana 11.0; later ones read it and migrate it."""
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH, HEIGHT = 24, 8


def queries(dashboard: Dashboard) -> list[str]:
    """Give all expressions of a dashboard."""
    return [query.expression for _, panels in dashboard.rows for panel in panels for query in panel.queries]


def to_json(dashboard: Dashboard) -> str:
    """Write a dashboard as Grafana reads it."""
    return json.dumps(_model(dashboard), indent=1) + "\n"


def _model(dashboard: Dashboard) -> dict[str, Any]:
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": ["inflight"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "time": {"from": "now-1h", "to": "now"},
        "refresh": "10s",
        "timezone": "browser",
        "annotations": {"list": []},
        "links": [_link(other) for other in DASHBOARDS if other is not dashboard],
        "templating": {"list": _variables(dashboard)},
        "panels": _panels(dashboard),
    }


def _link(other: Dashboard) -> dict[str, Any]:
    return {"type": "link", "title": other.title, "url": f"/d/{other.uid}", "keepTime": True, "icon": "external link"}


def _variables(dashboard: Dashboard) -> list[dict[str, Any]]:
    datasource = {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}
    if not dashboard.of_one_service:
        return [datasource]
    of = "inflight_desired_replicas"
    return [
        datasource,
        _label_values("namespace", f"label_values({of}, namespace)"),
        _label_values("service", f'label_values({of}{{namespace="$namespace"}}, service)'),
    ]


def _label_values(name: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "label": name.capitalize(),
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
    }


def _panels(dashboard: Dashboard) -> list[dict[str, Any]]:
    """Place the panels from the left to the right, and each row below the one before."""
    found: list[dict[str, Any]] = []
    y = 0
    for title, panels in dashboard.rows:
        head = {"id": len(found) + 1, "type": "row", "title": title, "collapsed": False, "panels": []}
        found.append({**head, "gridPos": {"x": 0, "y": y, "w": WIDTH, "h": 1}})
        y += 1
        x = 0
        for panel in panels:
            if x + panel.width > WIDTH:
                x, y = 0, y + HEIGHT
            place = {"x": x, "y": y, "w": panel.width, "h": HEIGHT}
            found.append({"id": len(found) + 1, "gridPos": place, **_panel(panel)})
            x += panel.width
        y += HEIGHT
    return found


def _panel(panel: Panel) -> dict[str, Any]:
    custom = {"fillOpacity": 20 if panel.stacked else 0, "stacking": {"mode": "normal" if panel.stacked else "none"}}
    ends = {"min": 0} if panel.most is None else {"min": 0, "max": panel.most}
    defaults = {"unit": panel.unit, **ends, **({"custom": custom} if panel.kind == "timeseries" else {})}
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.meaning,
        "datasource": DATASOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": _options(panel),
        "targets": [_target(number, query) for number, query in enumerate(panel.queries)],
    }


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "stat":
        return {"reduceOptions": {"calcs": ["lastNotNull"]}, "textMode": "value_and_name"}
    return {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}


def _target(number: int, query: Query) -> dict[str, Any]:
    return {
        "refId": chr(ord("A") + number),
        "datasource": DATASOURCE,
        "expr": query.expression,
        "legendFormat": query.legend,
    }


def files() -> dict[str, str]:
    """Give the name of each file, and what it has."""
    return {f"{each.uid}.json": to_json(each) for each in DASHBOARDS}
