"""The metrics of a table with the networks they need: loaded before any page is coloured, or left out loudly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from colorflow.metrics import (
    Column,
    MetricSettings,
    MetricSpec,
    MissingWeightsError,
    PageNetwork,
    is_ours,
)
from colorflow.utils.log import get_logger

logger = get_logger(__name__)


@dataclass(frozen=True)
class Suite:
    """The metrics that can be had, with their networks.

    Attributes:
        specs: In the order of the settings' names.
        networks: By key of a metric; metrics may share one.
        skipped: Metric -> why it is left out.
    """

    specs: tuple[MetricSpec, ...] = MetricSettings().specs
    networks: Mapping[str, PageNetwork] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)

    def describe(self) -> dict[str, Any]:
        """As JSON, for the protocol: what was measured by which weights, what was left out.

        ``columns``, where there are any, tell a report how to show metrics of other packages.
        """
        networks = {
            spec.key: {"id": network.id, "weights_sha256": network.digest}
            for spec in self.specs
            if (network := self.networks.get(spec.key))
        }
        others = {spec.key: _column(spec) for spec in self.specs if not is_ours(spec)}
        return {
            "metrics": [spec.key for spec in self.specs],
            "networks": networks,
            "skipped": dict(self.skipped),
            "definitions": {spec.key: spec.definition for spec in self.specs},
            **({"columns": others} if others else {}),
        }


def _column(spec: MetricSpec) -> dict[str, Any]:
    return asdict(Column(**{item.name: getattr(spec, item.name) for item in fields(Column)}))


def build_suite(settings: MetricSettings) -> Suite:
    """Load what the settings ask for.

    Raises:
        MissingWeightsError: Where weights cannot be had and ``strict`` is set.
        WrongWeightsError: For weights that are not the published ones.
        ValueError: For an unknown model or resize rule.
    """
    networks: dict[str, PageNetwork] = {}
    skipped: dict[str, str] = {}
    for build in dict.fromkeys(spec.network for spec in settings.specs if spec.network is not None):
        asked = [spec.key for spec in settings.specs if spec.network is build]
        try:
            networks |= dict.fromkeys(asked, build(settings))
        except MissingWeightsError as error:
            if settings.strict:
                raise MissingWeightsError(f"{', '.join(asked)}: {error}") from error
            logger.warning("%s left out: %s", ", ".join(asked), error)
            skipped |= dict.fromkeys(asked, str(error))
    return Suite(tuple(spec for spec in settings.specs if spec.key not in skipped), networks, skipped)
