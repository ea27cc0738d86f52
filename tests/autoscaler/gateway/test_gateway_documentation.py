import re
from pathlib import Path

from autoscaler.app import gateway_services
from autoscaler.validation import read_policies

DOCUMENT = Path(__file__).parents[3] / "docs" / "gateway.md"


def test_the_documented_example_is_a_configuration(tmp_path):
    (example,) = re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    file = tmp_path / "gateway.yaml"
    file.write_text(example)
    (service,) = gateway_services(read_policies([file])).values()
    assert service.name == "default/web-ui"
    assert set(service.backends) == {"127.0.0.1:7860", "127.0.0.1:7861"}
    assert service.limits.concurrency == 1
